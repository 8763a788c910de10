"""Passes over the sources that are reconciled: first over the host's rows, then over what was told.

A pass is done in batches. Each tells what it finds in a transaction of its own, and then notes how far the pass has
come: one that is cut short goes on from there, and a batch that is done twice finds nothing the second time. So it is
with two passes at once.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import InterfaceError, OperationalError

from tms_webhooks.actors import actor_context
from tms_webhooks.choices import ActorKind
from tms_webhooks.models import Reconciliation, SourceState
from tms_webhooks.models.source_state import ReconcilePhase
from tms_webhooks.reconcile import record
from tms_webhooks.reconcile.record import ComparedBatch, FoundChanges
from tms_webhooks.sources import states
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.row_sets import at_keys, database_of
from tms_webhooks.sources.snapshots import read_rows

BATCH = 500

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """What was found: how many objects were looked at, and how many were new, changed, gone, or known for the first time.

    ``events`` were recorded of it, as many as somebody wants. A pass that is not ``finished`` was stopped; one that
    ``failed`` met an error that the log tells of.
    """

    seen: int = 0
    created: int = 0
    changed: int = 0
    deleted: int = 0
    noted: int = 0
    events: int = 0
    finished: bool = True
    failed: bool = False

    def __add__(self, other: ReconcileResult) -> ReconcileResult:
        return ReconcileResult(
            self.seen + other.seen,
            self.created + other.created,
            self.changed + other.changed,
            self.deleted + other.deleted,
            self.noted + other.noted,
            self.events + other.events,
            self.finished and other.finished,
            self.failed or other.failed,
        )


def reconciled_sources() -> list[Source]:
    """Return the sources that say ``reconcile = True``."""
    return [source for source in all_sources() if source.reconcile]


def reconcile_all(
    sources: Sequence[Source],
    *,
    now: datetime,
    batch: int = BATCH,
    begin: bool = True,
    stop: Callable[[], bool] = lambda: False,
) -> dict[Source, ReconcileResult]:
    """Go over each of these sources; what goes wrong with one is logged and holds up no other.

    ``begin`` says whether to begin a pass where none is under way. ``stop`` is asked after each batch.
    """
    found: dict[Source, ReconcileResult] = {}
    with actor_context(ActorKind.RECONCILE):
        for source in sources:
            try:
                found[source] = reconcile(source, now=now, batch=batch, begin=begin, stop=stop)
            except Exception:
                logger.exception("%r could not be reconciled; the next run goes on where this one ended.", source)
                found[source] = ReconcileResult(finished=False, failed=True)
    return found


def reconcile(
    source: Source, *, now: datetime, batch: int = BATCH, begin: bool = True, stop: Callable[[], bool] = lambda: False
) -> ReconcileResult:
    """Tell of all that is not as it was told; go on with a pass that was cut short."""
    run = Reconciliation.objects.of(source.name, now=now, using=database_of(source))
    if run.phase == ReconcilePhase.DONE:
        if not begin:
            return ReconcileResult()
        run.begin(now)
    total = ReconcileResult()
    while run.phase != ReconcilePhase.DONE:
        total += _step(source, run, now=now, batch=batch)
        if stop() and run.phase != ReconcilePhase.DONE:
            return total + ReconcileResult(finished=False)
    return total


def preview(source: Source, *, now: datetime, batch: int = BATCH) -> ReconcileResult:
    """Count what a whole pass would find, and write nothing. It takes no lock: what is changing may be counted."""
    using = database_of(source)
    run = Reconciliation.objects.using(using).filter(source=source.name).first()
    baseline = run is None or not run.has_baseline
    total = ReconcileResult()
    for found in _batches(record.of_rows, source, batch):
        keys = [states.key_text(key) for key in found.suspects]
        known = SourceState.objects.of(source.name, keys, using=using)
        rows = read_rows(source, at_keys(source.model, found.suspects, using=using))
        total += ReconcileResult(seen=found.seen)
        total += _counted(record.compare(source, rows, known, baseline=baseline, now=now))
    for found in _batches(record.of_states, source, batch):
        total += ReconcileResult(deleted=len(found.suspects))
    return total


def _batches(read: Callable[..., ComparedBatch], source: Source, size: int) -> Iterator[ComparedBatch]:
    position: str | None = ""
    while position is not None:
        found = read(source, position, limit=size)
        yield found
        position = found.end


def forget_others(sources: Sequence[Source]) -> None:
    """Forget what was told by sources that are reconciled no more: what they would be compared with is out of date."""
    names = [source.name for source in sources]
    for using in {database_of(source) for source in all_sources()}:
        SourceState.objects.forget_others(names, using=using)
        Reconciliation.objects.using(using).exclude(source__in=names).delete()


def _step(source: Source, run: Reconciliation, *, now: datetime, batch: int) -> ReconcileResult:
    """Do one batch of a pass."""
    if run.phase == ReconcilePhase.ROWS:
        found = record.of_rows(source, run.position, limit=batch)
        tell = functools.partial(record.record_rows, baseline=not run.has_baseline, now=now)
        total = ReconcileResult(seen=found.seen)
    else:
        found = record.of_states(source, run.position, limit=batch)
        tell = functools.partial(record.record_ends, now=now)
        total = ReconcileResult()
    total += _record(tell, source, found.suspects)
    run.advance(found.end, now=now)
    return total


def _record(
    tell: Callable[[Source, list[Any]], tuple[FoundChanges, int]], source: Source, keys: list[Any]
) -> ReconcileResult:
    """Tell of these objects together, or one by one if that fails: one that can't be told must hold up no other."""
    if not keys:
        return ReconcileResult()
    try:
        found, events = tell(source, keys)
    except (OperationalError, InterfaceError):
        # The database that can't be reached or is too busy may be better at the next pass.
        raise
    except Exception:
        if len(keys) > 1:
            return sum((_record(tell, source, [key]) for key in keys), ReconcileResult())
        logger.exception("%s %s could not be reconciled.", source.model._meta.label, keys[0])
        return ReconcileResult()
    return _counted(found, events=events)


def _counted(found: FoundChanges, *, events: int = 0) -> ReconcileResult:
    created = sum(change.created for change in found.changes)
    deleted = sum(change.deleted for change in found.changes)
    return ReconcileResult(
        created=created,
        changed=len(found.changes) - created - deleted,
        deleted=deleted,
        noted=found.noted,
        events=events,
    )
