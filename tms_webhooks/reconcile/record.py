"""Which objects are not as they were told: read in batches, by key, without a lock.

What is found here may have changed by the time that somebody looks again, under a lock; see `telling`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction

from tms_webhooks.capture.transactions import atomic
from tms_webhooks.models import SourceState
from tms_webhooks.models.source_state import ObjectState
from tms_webhooks.outbox.record import LogSourceErrors, record_changes
from tms_webhooks.sources import states
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.changes import diff
from tms_webhooks.sources.row_sets import at_keys, database_of, rows_of
from tms_webhooks.sources.rules import Change
from tms_webhooks.sources.snapshots import locked, read_rows


@dataclass(frozen=True, slots=True)
class ComparedBatch:
    """What a batch was read up to (None: to the end), of how many objects, and the keys of those not as they were told."""

    end: str | None
    seen: int
    suspects: list[Any]


def of_rows(source: Source, after: str, *, limit: int) -> ComparedBatch:
    """Compare the next rows of the host with what was told of them."""
    using = database_of(source)
    rows = rows_of(source).order_by("pk")
    if after:
        rows = rows.filter(pk__gt=states.key_value(source, after))
    found = read_rows(source, rows[:limit], names=states.names(source))
    known = SourceState.objects.of(source.name, [states.key_text(key) for key, _raw in found], using=using)
    lines = ((key, states.object_state(source, key, raw)) for key, raw in found)
    suspects = [key for key, line in lines if known.get(line.key) != line]
    end = states.key_text(found[-1][0]) if len(found) == limit else None
    return ComparedBatch(end, len(found), suspects)


def of_states(source: Source, after: str, *, limit: int) -> ComparedBatch:
    """Look whether the next objects that were told of are still there."""
    using = database_of(source)
    told = SourceState.objects.after(source.name, after, limit=limit, using=using)
    gone = missing(source, told, using=using)
    return ComparedBatch(max(told) if len(told) == limit else None, len(told), gone)


def missing(source: Source, told: Mapping[str, ObjectState], *, using: str) -> list[Any]:
    """Return the keys of those objects that have no row any more."""
    keys = [states.key_value(source, text) for text in told]
    there = set(at_keys(source.model, keys, using=using).values_list("pk", flat=True)) if keys else set()
    return [key for key in keys if key not in there]


Raw = Mapping[str, Any]


@dataclass(slots=True)
class FoundChanges:
    """The changes of some objects, and what is to be remembered of them. ``noted``: of how many nothing was known."""

    changes: list[Change] = field(default_factory=list)
    lines: list[ObjectState] = field(default_factory=list)
    noted: int = 0


def record_rows(source: Source, keys: Sequence[Any], *, baseline: bool, now: datetime) -> tuple[FoundChanges, int]:
    """Tell of objects that are new or have changed; return what was found, and how many events were recorded.

    ``baseline`` says that an object of which nothing is known is only taken note of.
    """
    using = database_of(source)
    with _together(using):
        rows = at_keys(source.model, keys, using=using)
        # The lock that a change takes: of the object's own row, wherever parts of it stand.
        read_rows(source, locked(rows), names=states.own_names(source))
        known = SourceState.objects.of(source.name, [states.key_text(key) for key in keys], using=using, lock=True)
        found = compare(source, read_rows(source, rows), known, baseline=baseline, now=now)
        events = sum(map(len, record_changes(source, found.changes, using=using)))
        SourceState.objects.overwrite(source.name, found.lines, now=now, using=using)
    return found, events


def record_ends(source: Source, keys: Sequence[Any], *, now: datetime) -> tuple[FoundChanges, int]:
    """Tell of objects that are gone; return the same."""
    using = database_of(source)
    with _together(using):
        known = SourceState.objects.of(source.name, [states.key_text(key) for key in keys], using=using, lock=True)
        gone = missing(source, known, using=using)
        found = compare_ends(source, [known[states.key_text(key)] for key in gone], now=now)
        events = sum(map(len, record_changes(source, found.changes, using=using)))
        SourceState.objects.forget(source.name, [states.key_text(key) for key in gone], using=using)
    return found, events


@contextmanager
def _together(using: str) -> Iterator[None]:
    """Have all or nothing written, also within a transaction that is under way."""
    with atomic(using), transaction.atomic(using=using):
        yield


def compare(
    source: Source, rows: Sequence[tuple[Any, Raw]], known: Mapping[str, ObjectState], *, baseline: bool, now: datetime
) -> FoundChanges:
    """Return how these rows differ from what was told of them."""
    found = FoundChanges()
    for key, raw in rows:
        line = states.object_state(source, key, raw)
        told = known.get(line.key)
        if told == line:
            continue
        found.lines.append(line)
        if told is None and baseline:
            found.noted += 1
            continue
        with LogSourceErrors(source):
            before = None if told is None else states.recorded_before(source, told, raw)
            change = diff(source, before=before, after=raw, now=now, using=database_of(source))
            if change.created or change.changed:
                found.changes.append(change)
    return found


def compare_ends(source: Source, lines: Sequence[ObjectState], *, now: datetime) -> FoundChanges:
    """Return the ends of objects that are known by what was told of them."""
    found = FoundChanges(lines=list(lines))
    for line in lines:
        with LogSourceErrors(source):
            before = states.recorded_raw(source, line)
            found.changes.append(diff(source, before=before, after=None, now=now, using=database_of(source)))
    return found
