"""Compare the host's rows with the last recorded states of their objects, and record the events of the differences.

A batch is first compared without a lock. The objects that differ are then read again under a lock, because they may
have changed in the time between. The same transaction records their events and their new states.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction

from tms_webhooks.capture.saves import atomic
from tms_webhooks.models import SourceState
from tms_webhooks.models.source_state import ObjectState, states_of
from tms_webhooks.outbox.record import failures, record_changes, source_errors_logged
from tms_webhooks.sources import states
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.changes import diff
from tms_webhooks.sources.row_sets import database_of, objects_at, rows_of
from tms_webhooks.sources.rules import Change
from tms_webhooks.sources.snapshots import locked, read_rows


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
                    before = states.recorded_before(source, state, raw) if raw else states.recorded_raw(source, state)
                change = diff(source, before=before, after=raw, now=now, using=using)
                changes += [] if change.is_empty else [change]
        recorded = record_changes(source, changes, using=using, found_later=True)
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
