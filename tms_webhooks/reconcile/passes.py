"""Reconcile sources: detect out-of-band changes in passes over the host's rows, then over the last recorded states.

A pass is done in batches. Each batch records its events in one transaction, and then the position of the pass. An
interrupted pass continues from there. A batch that is done twice, or by two concurrent passes, finds nothing the second
time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from django.db import InterfaceError, OperationalError

from tms_webhooks.actors import actor_context
from tms_webhooks.choices import ActorKind
from tms_webhooks.models import Reconciliation, SourceState
from tms_webhooks.models.source_state import ReconcilePhase
from tms_webhooks.reconcile import record
from tms_webhooks.reconcile.record import ReconcileResult
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.row_sets import database_of

BATCH = 500
"""Objects per batch."""

logger = logging.getLogger(__name__)


def reconciled_sources() -> list[Source]:
    """Return the sources with ``reconcile = True``."""
    return [source for source in all_sources() if source.reconcile]


def reconcile_all(
    sources: Sequence[Source],
    *,
    now: datetime,
    batch: int = BATCH,
    begin: bool = True,
    stop: Callable[[], bool] = lambda: False,
) -> dict[Source, ReconcileResult]:
    """Reconcile each of these sources. An error in one is logged and does not stop the others.

    Args:
        sources: The sources.
        now: The current time.
        batch: Objects per batch.
        begin: Whether to begin a new pass for a source whose last pass is finished.
        stop: Called after each batch; True ends the pass.
    """
    found: dict[Source, ReconcileResult] = {}
    with actor_context(ActorKind.RECONCILE):
        for source in sources:
            try:
                found[source] = reconcile(source, now=now, batch=batch, begin=begin, stop=stop)
            except Exception:
                logger.exception("%r could not be reconciled; the next run continues where this one ended.", source)
                found[source] = ReconcileResult(finished=False, failed=True)
    return found


def reconcile(
    source: Source, *, now: datetime, batch: int = BATCH, begin: bool = True, stop: Callable[[], bool] = lambda: False
) -> ReconcileResult:
    """Record the events of all out-of-band changes of one source; continue an interrupted pass.

    The arguments are those of `reconcile_all`.
    """
    passes = Reconciliation.objects.using(database_of(source))
    run, _is_new = passes.get_or_create(source=source.name, defaults={"started_at": now})
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


def forget_others(sources: Sequence[Source]) -> None:
    """Delete the recorded states and positions of all other sources: they are out of date if one is reconciled again."""
    names = [source.name for source in sources]
    for using in {database_of(source) for source in all_sources()}:
        for model in (SourceState, Reconciliation):
            model._base_manager.using(using).exclude(source__in=names).delete()


def _step(source: Source, run: Reconciliation, *, now: datetime, batch: int) -> ReconcileResult:
    """Do one batch of a pass, and record the position."""
    is_of_rows = run.phase == ReconcilePhase.ROWS
    compare = record.compare_rows if is_of_rows else record.compare_states
    found = compare(source, run.position, limit=batch)
    total = _together_or_each(source, found.differing, baseline=not run.has_baseline, now=now)
    run.advance(found.end, now=now)
    return total + ReconcileResult(seen=found.seen if is_of_rows else 0)


def _together_or_each(source: Source, keys: Sequence[Any], *, baseline: bool, now: datetime) -> ReconcileResult:
    """Record the changes of these objects together, or one by one if that fails: one must not stop the others."""
    if not keys:
        return ReconcileResult()
    try:
        return record.record_objects(source, keys, baseline=baseline, now=now)
    except (OperationalError, InterfaceError):
        # These end the pass; the next run continues it.
        raise
    except Exception:
        if len(keys) > 1:
            each = (_together_or_each(source, [key], baseline=baseline, now=now) for key in keys)
            return sum(each, ReconcileResult())
        logger.exception("%s %s could not be reconciled.", source.model._meta.label, keys[0])
        return ReconcileResult(failed_objects=1)
