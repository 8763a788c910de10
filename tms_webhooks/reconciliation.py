"""Reconcile sources: detect out-of-band changes in passes over the host's rows, then over the last recorded states.

A pass is done in batches. Each batch records its events in one transaction, and then the position of the pass. An
interrupted pass continues from there. A batch that is done twice, or by two concurrent passes, finds nothing the second
time.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Sequence, Set
from dataclasses import astuple, dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import InterfaceError, OperationalError, models, transaction

from tms_webhooks.actors import actor_context
from tms_webhooks.capture.saves import atomic, has_outbox
from tms_webhooks.catalogue.schema import FieldKind
from tms_webhooks.choices import ActorKind
from tms_webhooks.models import OwnerlessObject, Reconciliation, SourceState
from tms_webhooks.models.source_state import ObjectState, ReconcilePhase, states_of
from tms_webhooks.moves import note_moves
from tms_webhooks.outbox.owners import has_owner
from tms_webhooks.outbox.record import failures, record_changes, source_errors_logged
from tms_webhooks.sources import states
from tms_webhooks.sources.aggregates import RelatedList
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.mapping import MappedField, Values
from tms_webhooks.sources.paths import field_at
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.rows import database_of, locked, objects_at, read_rows, rows_of
from tms_webhooks.sources.rules import Change
from tms_webhooks.sources.states import diff


@dataclass(frozen=True, slots=True)
class ReconcileResult:
    """The result of a pass.

    Attributes:
        seen: Number of objects that were compared.
        created: Number of objects without a recorded state.
        changed: Number of objects that differ from their last recorded states.
        deleted: Number of objects whose rows are gone.
        noted: Number of objects whose state was recorded for the first time, without an event.
        events: Number of events that were recorded with a payload: of changes that match a subscription.
        failed_objects: Number of objects that could not be recorded; see the log. The next pass tries them again.
        unbuilt: Number of events without a payload, and of those that were not recorded; see the log. They are never sent.
        finished: Whether the pass came to its end.
        failed: Whether an error ended it; see the log.
    """

    seen: int = 0
    created: int = 0
    changed: int = 0
    deleted: int = 0
    noted: int = 0
    events: int = 0
    failed_objects: int = 0
    unbuilt: int = 0
    finished: bool = field(default=True, kw_only=True)
    failed: bool = field(default=False, kw_only=True)

    def __add__(self, other: ReconcileResult) -> ReconcileResult:
        *counts, finished, failed = zip(astuple(self), astuple(other), strict=True)
        return ReconcileResult(*map(sum, counts), finished=all(finished), failed=any(failed))


class ComparedBatch(NamedTuple):
    """A batch that was compared without a lock.

    Attributes:
        end: Key, as text, of the last object of the batch; None if it was the last batch.
        seen: Number of objects.
        differing: Keys of the objects that differ from their last recorded states.
    """

    end: str | None
    seen: int
    differing: list[Any]


def compare_rows(source: Source, after: str, *, limit: int) -> ComparedBatch:
    """Compare the next rows of the host, after this key, with the last recorded states."""
    using = database_of(source)
    rows = rows_of(source).order_by("pk")
    if after:
        rows = rows.filter(pk__gt=states.key_value(source, after))
    found = read_rows(source, rows[:limit], names=states.names(source))
    known = SourceState.objects.of(source.name, [states.key_text(key) for key, _raw in found], using=using)
    current = ((key, states.object_state(source, key, raw)) for key, raw in found)
    differing = [key for key, state in current if known.get(state.key) != state]
    end = states.key_text(found[-1][0]) if len(found) == limit else None
    return ComparedBatch(end, len(found), differing)


def compare_states(source: Source, after: str, *, limit: int) -> ComparedBatch:
    """Check whether the objects of the next recorded states, after this key, still exist."""
    using = database_of(source)
    rows = SourceState.objects.using(using).filter(source=source.name, key__gt=after)
    known = states_of(rows.order_by("key")[:limit])
    keys = [states.key_value(source, text) for text in known]
    existing = set(objects_at(source, keys, using=using).values_list("pk", flat=True)) if keys else set()
    gone = [key for key in keys if key not in existing]
    return ComparedBatch(max(known) if len(known) == limit else None, len(known), gone)


def record_objects(source: Source, keys: Sequence[Any], *, baseline: bool, now: datetime) -> ReconcileResult:
    """Record the events and states of objects that are new, changed or gone; return their numbers.

    With ``baseline``, an object without a recorded state gets no event: its state is recorded only. All is committed or
    nothing, also within a transaction of the caller.
    """
    using = database_of(source)
    changes: list[Change] = []
    current: list[ObjectState] = []
    noted, failed = 0, failures()
    with atomic(using), transaction.atomic(using=using):
        rows = objects_at(source, keys, using=using)
        # The lock that a change takes: on the object's own row, even if other tables hold a part of it.
        read_rows(source, locked(rows), names=states.own_names(source))
        texts = [states.key_text(key) for key in keys]
        known = SourceState.objects.of(source.name, texts, using=using, lock=True)
        found = {states.key_text(key): (key, raw) for key, raw in read_rows(source, rows)}
        for text in texts:
            state, (key, raw) = known.get(text), found.get(text, (None, None))
            if raw is not None:
                now_is = states.object_state(source, key, raw)
                if now_is == state:
                    continue
                current.append(now_is)
            if state is None and (baseline or raw is None):
                noted += raw is not None
                continue
            with source_errors_logged(source):
                before = None
                if state is not None:
                    before = _recorded_before(source, state, raw) if raw else _recorded_raw(source, state)
                change = diff(source, before=before, after=raw, now=now, using=using)
                changes += [] if change.is_empty else [change]
        recorded = record_changes(source, changes, using=using, found_later=True)
        note_moves(source, changes, using=using)
        SourceState.objects.overwrite(source.name, current, now=now, using=using)
        SourceState.objects.forget(source.name, known.keys() - found.keys(), using=using)
    created, deleted = sum(one.created for one in changes), sum(one.deleted for one in changes)
    errors = [bool(event.error) for events in recorded for event in events]
    return ReconcileResult(
        created=created,
        changed=len(changes) - created - deleted,
        deleted=deleted,
        noted=noted,
        events=errors.count(False),
        unbuilt=errors.count(True) + failures() - failed,
    )


def _recorded_raw(source: Source, recorded: ObjectState) -> dict[str, Any]:
    """Return the recorded values as raw values, as if read from the host's row."""
    written = _texts(recorded)
    return {
        name: _raw_value(source.model, source.mapped[name], value)
        for name, value in written.items()
        if name in source.mapped
    }


def _recorded_before(source: Source, recorded: ObjectState, raw: Values) -> dict[str, Any]:
    """Return the recorded values of an object that is ``raw`` now, as the "before" of a comparison.

    A value whose text is unchanged is taken from ``raw``, so that a loss of precision in the text is not a change.
    """
    before = _recorded_raw(source, recorded)
    current, written = _texts(states.object_state(source, None, raw)), _texts(recorded)
    compared = {
        *states.own_names(source),
        *states.list_names(source),
        *states.organization_names(source),
    } & before.keys()
    return {
        name: raw[name] if current[name] == written[name] else before[name]
        for name in source.mapped
        if name in compared
    }


def _texts(recorded: ObjectState) -> dict[str, Any]:
    return {**json.loads(recorded.related or "{}"), **json.loads(recorded.state)}


def _raw_value(model: type[models.Model], mapped: MappedField, value: Any) -> Any:
    if value is None or mapped.lookup is None:
        return value
    if isinstance(mapped.lookup, RelatedList):
        return mapped.lookup.to_python(value)
    field = field_at(model, mapped.lookup)
    # A JSON field's value needs no conversion.
    return value if mapped.field.kind in (FieldKind.IDS, FieldKind.OBJECTS) else field.to_python(value)


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
        is_of_rows = run.phase == ReconcilePhase.ROWS
        found = (compare_rows if is_of_rows else compare_states)(source, run.position, limit=batch)
        total += _together_or_each(source, found.differing, baseline=not run.has_baseline, now=now)
        run.advance(found.end, now=now)
        total += ReconcileResult(seen=found.seen if is_of_rows else 0)
        if stop() and run.phase != ReconcilePhase.DONE:
            return total + ReconcileResult(finished=False)
    return total


def forget_others(sources: Sequence[Source]) -> None:
    """Delete the recorded states and positions of all other sources: they are out of date if one is reconciled again."""
    names = [source.name for source in sources]
    for using in {database_of(source) for source in all_sources()}:
        for model in (SourceState, Reconciliation):
            model._base_manager.using(using).exclude(source__in=names).delete()


def _together_or_each(source: Source, keys: Sequence[Any], *, baseline: bool, now: datetime) -> ReconcileResult:
    """Record the changes of these objects together, or one by one if that fails: one must not stop the others."""
    if not keys:
        return ReconcileResult()
    try:
        return record_objects(source, keys, baseline=baseline, now=now)
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
