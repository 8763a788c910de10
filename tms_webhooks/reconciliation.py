"""Reconcile sources: detect out-of-band changes in passes over the host's rows, then over the last recorded states.

A pass is done in batches. Each batch records its events in one transaction, and then the position of the pass. An
interrupted pass continues from there. A batch that is done twice, or by two concurrent passes, finds nothing the second
time.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence, Set
from dataclasses import astuple, dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import InterfaceError, OperationalError, models, transaction

from tms_webhooks.actors import actor_context
from tms_webhooks.batches import Stop, never
from tms_webhooks.capture.saves import atomic, has_outbox
from tms_webhooks.catalogue.schema import FieldKind
from tms_webhooks.choices import ActorKind
from tms_webhooks.models import OwnerlessObject, Reconciliation, SourceState
from tms_webhooks.models.source_state import ObjectState, ReconcilePhase
from tms_webhooks.moves import note_moves
from tms_webhooks.outbox.owners import has_owner
from tms_webhooks.outbox.record import failures, record_changes, source_errors_logged
from tms_webhooks.sources import states
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.mapping import MappedField, Values
from tms_webhooks.sources.paths import RelatedList, field_at
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.rows import database_of, lock, objects_at, read_rows, rows_of
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
        seen: Number of objects that were read.
        differing: Keys of the objects that differ from their last recorded states.
    """

    end: str | None
    seen: int
    differing: list[Any]


def compare_rows(source: Source, after: str, *, limit: int) -> ComparedBatch:
    """Compare the next rows of the host, after this key, with the last recorded states."""
    rows = states.rows_after(source, rows_of(source), after)[:limit]
    found = read_rows(source, rows, names=states.names(source))
    known = SourceState.objects.of(source.name, [states.key_text(key) for key, _raw in found], using=rows.db)
    current = ((key, states.object_state(source, key, raw)) for key, raw in found)
    differing = [key for key, state in current if known.get(state.key) != state]
    end = states.key_text(found[-1][0]) if len(found) == limit else None
    return ComparedBatch(end, len(found), differing)


def compare_states(source: Source, after: str, *, limit: int) -> ComparedBatch:
    """Check whether the objects of the next recorded states, after this key, still exist."""
    using = database_of(source)
    rows = SourceState.objects.using(using).filter(source=source.name, key__gt=after).order_by("key")
    texts = list(rows.values_list("key", flat=True)[:limit])
    keys = [states.key_value(source, text) for text in texts]
    existing = set(objects_at(source, keys, using=using).values_list("pk", flat=True))
    gone = [key for key in keys if key not in existing]
    return ComparedBatch(texts[-1] if len(texts) == limit else None, 0, gone)


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
        lock(rows)
        texts = [states.key_text(key) for key in keys]
        known = SourceState.objects.of(source.name, texts, using=using, lock=True)
        found = {states.key_text(key): (key, raw) for key, raw in read_rows(source, rows)}
        for text in texts:
            recorded, (key, raw) = known.get(text), found.get(text, (None, None))
            state = None if raw is None else states.object_state(source, key, raw)
            if state == recorded:
                continue
            if state is not None:
                current.append(state)
            if recorded is None and baseline:
                noted += 1
                continue
            with source_errors_logged(source):
                before = None if recorded is None else _recorded_raw(source, recorded, state, raw)
                change = diff(source, before=before, after=raw, now=now, using=using)
                if not change.is_empty:
                    changes.append(change)
        events = record_changes(source, changes, found_later=True)
        note_moves(source, dict(enumerate((one.before, one.after) for one in changes)), now=now, using=using)
        SourceState.objects.overwrite(source.name, current, now=now, using=using)
        SourceState.objects.forget(source.name, known.keys() - found.keys(), using=using)
    created, deleted = sum(one.created for one in changes), sum(one.deleted for one in changes)
    errors = [bool(event.error) for some in events for event in some]
    return ReconcileResult(
        created=created,
        changed=len(changes) - created - deleted,
        deleted=deleted,
        noted=noted,
        events=errors.count(False),
        unbuilt=errors.count(True) + failures() - failed,
    )


def _recorded_raw(
    source: Source, recorded: ObjectState, state: ObjectState | None, raw: Values | None
) -> dict[str, Any]:
    """Return the recorded values as if read from the host's row; of an object that still exists, those to compare.

    ``state`` and ``raw`` are its values now. One whose text is unchanged is taken from ``raw``, so that a loss of precision
    in the text is not a change.
    """
    names, current = {*source.mapped}, _texts(state) if state else {}
    if raw is not None:
        names &= {*states.own_names(source), *states.lists_of(source), *states.organization_names(source)}
    return {
        name: raw[name] if raw and current[name] == value else _raw_value(source.model, source.mapped[name], value)
        for name, value in _texts(recorded).items()
        if name in names
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
    sources: Sequence[Source], *, now: datetime, begin: bool = True, stop: Stop = never
) -> dict[Source, ReconcileResult]:
    """Reconcile each of these sources. An error in one is logged and does not stop the others.

    With ``begin``, a source whose last pass is finished begins a new one. ``stop`` is called after each batch; True ends the
    pass.
    """
    found: dict[Source, ReconcileResult] = {}
    with actor_context(ActorKind.RECONCILE):
        for source in sources:
            try:
                found[source] = reconcile(source, now=now, begin=begin, stop=stop)
            except Exception:
                logger.exception("%r could not be reconciled; the next run continues where this one ended.", source)
                found[source] = ReconcileResult(finished=False, failed=True)
    return found


def reconcile(
    source: Source, *, now: datetime, batch: int = BATCH, begin: bool = True, stop: Stop = never
) -> ReconcileResult:
    """Record the events of all out-of-band changes of one source; continue an interrupted pass.

    ``batch`` is the number of objects in a batch. The other arguments are those of `reconcile_all`.
    """
    passes = Reconciliation.objects.using(database_of(source))
    run, _is_new = passes.get_or_create(source=source.name, defaults={"started_at": now})
    if run.phase == ReconcilePhase.DONE:
        if not begin:
            return ReconcileResult()
        run.begin(now)
    total = ReconcileResult()
    while run.phase != ReconcilePhase.DONE:
        compare = compare_rows if run.phase == ReconcilePhase.ROWS else compare_states
        found = compare(source, run.position, limit=batch)
        done = _together_or_each(source, found.differing, baseline=not run.has_baseline, now=now)
        total += done + ReconcileResult(seen=found.seen)
        run.advance(found.end, now=now)
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
    """Record the first events of those objects with these ids that have an organization by now; return their number."""
    with atomic(using), transaction.atomic(using=using):
        rows = rows_of(source).filter(**{f"{source.own['id'].lookup}__in": map(json.loads, keys)}).order_by("pk")
        lock(rows)
        read = {states.key_text(raw["id"]): raw for _key, raw in read_rows(source, rows)}
        found = {key: diff(source, before=None, after=raw, now=now, using=using) for key, raw in read.items()}
        owned = [key for key, change in found.items() if has_owner(change.after)]
        OwnerlessObject.objects.take(source.name, [*owned, *(keys - found.keys())], using=using)
        record_changes(source, [found[key] for key in owned])
    waiting = OwnerlessObject.objects.using(using).filter(source=source.name, key__in=found.keys() - set(owned))
    if late := waiting.filter(since__lte=now - REPORT_AFTER, reported=False).update(reported=True):
        logger.warning(
            "%s: objects without an organization for a day: %s. No webhook gets their events. Set their organization, or "
            "leave them out with `only`.",
            source.model._meta.label,
            late,
        )
    return len(owned)
