"""Compare the host's rows with the last recorded states of their objects, and record the events of the differences.

A batch is first compared without a lock. The objects that differ are then read again under a lock, because they may
have changed in the time between. The same transaction records their events and their new states.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

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

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ComparedBatch:
    """A batch that was compared without a lock.

    Attributes:
        end: Key, as text, of the last object of the batch; None if it was the last batch.
        seen: Number of objects.
        differing: Keys of the objects that differ from their last recorded states.
    """

    end: str | None
    seen: int
    differing: list[Any]


@dataclass(slots=True)
class FoundChanges:
    """The differences of some objects.

    Attributes:
        changes: The changes that may have events.
        states: The states to record; of objects that are gone, those to delete.
        noted: Number of objects whose state is recorded for the first time, without an event.
        events: Number of events that were recorded with a payload.
        unbuilt: Number of events that could not be built. They were logged.
    """

    changes: list[Change] = field(default_factory=list)
    states: list[ObjectState] = field(default_factory=list)
    noted: int = 0
    events: int = 0
    unbuilt: int = 0


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
    gone = _gone(source, known, using=using)
    return ComparedBatch(max(known) if len(known) == limit else None, len(known), gone)


def record_rows(source: Source, keys: Sequence[Any], *, baseline: bool, now: datetime) -> FoundChanges:
    """Record the events and states of new and changed objects; return the differences.

    With ``baseline``, an object without a recorded state gets no event: its state is recorded only.
    """
    using = database_of(source)
    with _recording(source) as record:
        rows = objects_at(source, keys, using=using)
        # The lock that a change takes: on the object's own row, even if other tables hold a part of it.
        read_rows(source, locked(rows), names=states.own_names(source))
        known = SourceState.objects.of(source.name, [states.key_text(key) for key in keys], using=using, lock=True)
        found = record(_changes_of_rows(source, read_rows(source, rows), known, baseline=baseline, now=now))
        SourceState.objects.overwrite(source.name, found.states, now=now, using=using)
    return found


def record_ends(source: Source, keys: Sequence[Any], *, now: datetime) -> FoundChanges:
    """Record the events of objects that are gone, and delete their states; return the same as `record_rows`."""
    using = database_of(source)
    with _recording(source) as record:
        known = SourceState.objects.of(source.name, [states.key_text(key) for key in keys], using=using, lock=True)
        gone = [states.key_text(key) for key in _gone(source, known, using=using)]
        found = FoundChanges(states=[known[key] for key in gone])
        for state in found.states:
            with source_errors_logged(source):
                before = states.recorded_raw(source, state)
                found.changes.append(diff(source, before=before, after=None, now=now, using=using))
        record(found)
        SourceState.objects.forget(source.name, gone, using=using)
    return found


@contextmanager
def _recording(source: Source) -> Iterator[Callable[[FoundChanges], FoundChanges]]:
    """Return a function that records the events of changes, and counts them.

    All of the block is committed or nothing, also within a transaction of the caller.
    """
    using, before = database_of(source), failures()
    with atomic(using), transaction.atomic(using=using):

        def record(found: FoundChanges) -> FoundChanges:
            recorded = record_changes(source, found.changes, using=using, found_later=True)
            errors = [bool(event.error) for events in recorded for event in events]
            found.events = errors.count(False)
            found.unbuilt = errors.count(True) + failures() - before
            return found

        yield record


def _changes_of_rows(
    source: Source, rows: Sequence[tuple[Any, Raw]], known: Mapping[str, ObjectState], *, baseline: bool, now: datetime
) -> FoundChanges:
    """Return the differences between rows and the last recorded states, by key; ``baseline`` as for `record_rows`."""
    found = FoundChanges()
    for key, raw in rows:
        current = states.object_state(source, key, raw)
        recorded = known.get(current.key)
        if recorded == current:
            continue
        found.states.append(current)
        if recorded is None and baseline:
            found.noted += 1
            continue
        with source_errors_logged(source):
            before = None if recorded is None else states.recorded_before(source, recorded, raw)
            change = diff(source, before=before, after=raw, now=now, using=database_of(source))
            if not change.is_empty:
                found.changes.append(change)
    return found


def _gone(source: Source, known: Mapping[str, ObjectState], *, using: str) -> list[Any]:
    """Return the keys of the recorded objects that have no row."""
    keys = [states.key_value(source, text) for text in known]
    existing = set(objects_at(source, keys, using=using).values_list("pk", flat=True)) if keys else set()
    return [key for key in keys if key not in existing]
