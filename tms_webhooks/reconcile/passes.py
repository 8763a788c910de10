"""Reconcile sources: detect out-of-band changes in passes over the host's rows, then over the last recorded states.

A pass is done in batches. Each batch records its events in one transaction, and then the position of the pass. An
interrupted pass continues from there. A batch that is done twice, or by two concurrent passes, finds nothing the second
time.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Sequence, Set
from datetime import datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, transaction

from tms_webhooks.actors import actor_context
from tms_webhooks.capture.saves import atomic, has_outbox
from tms_webhooks.choices import ActorKind
from tms_webhooks.models import OwnerlessObject, Reconciliation, SourceState
from tms_webhooks.models.source_state import ReconcilePhase
from tms_webhooks.outbox.owners import has_owner
from tms_webhooks.outbox.record import record_changes
from tms_webhooks.reconcile import record
from tms_webhooks.reconcile.record import ReconcileResult
from tms_webhooks.sources import states
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.changes import diff
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.row_sets import database_of, rows_of
from tms_webhooks.sources.snapshots import locked, read_rows

BATCH = 500
"""Objects per batch."""

# An object that still has no organization is reported in the log after the first time, once. After the second one it is not
# checked any more.
REPORT_AFTER, FORGET_AFTER = timedelta(days=1), timedelta(days=30)
# Objects without an organization that one call checks.
OWNERLESS_BATCH = 500

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


def settle_ownerless(now: datetime) -> int:
    """Check the objects that were checked longest ago; return the number of those that have an organization by now.

    An error in one source is logged, and does not stop the others. Objects of sources that are not registered are left
    alone until they are so old that they are forgotten.
    """
    sources = {source.name: source for source in all_sources()}
    settled = 0
    for using in filter(has_outbox, {database_of(source) for source in sources.values()}):
        kept = OwnerlessObject.objects.using(using)
        rows = list(kept.filter(source__in=list(sources)).order_by("checked_at", "pk")[:OWNERLESS_BATCH])
        for name in {row.source for row in rows}:
            try:
                settled += _settle(sources[name], {row.key for row in rows if row.source == name}, now=now, using=using)
            except (OperationalError, InterfaceError):
                # These end the sweep; the next one repeats it.
                raise
            except Exception:
                logger.exception("The objects of %r without an organization could not be checked.", sources[name])
        # Also where that failed: the objects of other sources come first in the next run.
        kept.filter(pk__in=[row.pk for row in rows]).update(checked_at=now)
        kept.filter(since__lte=now - FORGET_AFTER).delete()
    return settled


def _settle(source: Source, keys: Set[str], *, now: datetime, using: str) -> int:
    with atomic(using), transaction.atomic(using=using):
        found = {key: diff(source, before=None, after=raw, now=now, using=using) for key, raw in _read(source, keys)}
        owned = [key for key, change in found.items() if has_owner(change.after)]
        OwnerlessObject.objects.take(source.name, [*owned, *(keys - found.keys())], using=using)
        record_changes(source, [found[key] for key in owned], using=using)
    waiting = OwnerlessObject.objects.using(using).filter(source=source.name, key__in=found.keys() - set(owned))
    if late := waiting.filter(since__lte=now - REPORT_AFTER, reported=False).update(reported=True):
        logger.warning(
            "%s: objects without an organization for a day: %s. No webhook gets their events. Set their organization, or "
            "leave them out with `only`.",
            source.model._meta.label,
            late,
        )
    return len(owned)


def _read(source: Source, keys: Collection[str]) -> list[tuple[str, dict[str, object]]]:
    """Lock and read the objects with these ids; return their raw values by the ids."""
    column = str(source.own["id"].lookup)
    rows = rows_of(source).filter(**{f"{column}__in": [json.loads(key) for key in keys]})
    read_rows(source, locked(rows.order_by("pk")), names=("id",))
    return [(states.key_text(raw["id"]), raw) for _key, raw in read_rows(source, rows)]
