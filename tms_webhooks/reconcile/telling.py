"""Telling what was changed unseen, under the lock that a change would take: what the capture told meanwhile is left alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction

from tms_webhooks.models import ToldState
from tms_webhooks.models.told_state import Line
from tms_webhooks.outbox.batch import record_changes
from tms_webhooks.outbox.record import NeverBreaking
from tms_webhooks.outbox.transactions import atomic
from tms_webhooks.reconcile.differences import missing
from tms_webhooks.sources import states
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.changes import diff
from tms_webhooks.sources.row_sets import at_keys, database_of
from tms_webhooks.sources.rules import Change
from tms_webhooks.sources.snapshots import locked, read_rows

Raw = Mapping[str, Any]


@dataclass(slots=True)
class Found:
    """The changes of some objects, and what is to be remembered of them. ``noted``: of how many nothing was known."""

    changes: list[Change] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    noted: int = 0


def tell_rows(source: Source, keys: Sequence[Any], *, baseline: bool, now: datetime) -> tuple[Found, int]:
    """Tell of objects that are new or have changed; return what was found, and how many events were recorded.

    ``baseline`` says that an object of which nothing is known is only taken note of.
    """
    using = database_of(source)
    with _together(using):
        rows = at_keys(source.model, keys, using=using)
        # The lock that a change takes: of the object's own row, wherever parts of it stand.
        read_rows(source, locked(rows), names=states.own_names(source))
        known = ToldState.objects.of(source.name, [states.key_text(key) for key in keys], using=using, lock=True)
        found = compare(source, read_rows(source, rows), known, baseline=baseline, now=now)
        events = sum(map(len, record_changes(source, found.changes, using=using)))
        ToldState.objects.put(source.name, found.lines, now=now, using=using)
    return found, events


def tell_ends(source: Source, keys: Sequence[Any], *, now: datetime) -> tuple[Found, int]:
    """Tell of objects that are gone; return the same."""
    using = database_of(source)
    with _together(using):
        known = ToldState.objects.of(source.name, [states.key_text(key) for key in keys], using=using, lock=True)
        gone = missing(source, known, using=using)
        found = compare_ends(source, [known[states.key_text(key)] for key in gone], now=now)
        events = sum(map(len, record_changes(source, found.changes, using=using)))
        ToldState.objects.forget(source.name, [states.key_text(key) for key in gone], using=using)
    return found, events


@contextmanager
def _together(using: str) -> Iterator[None]:
    """Have all or nothing written, also within a transaction that is under way."""
    with atomic(using), transaction.atomic(using=using):
        yield


def compare(
    source: Source, rows: Sequence[tuple[Any, Raw]], known: Mapping[str, Line], *, baseline: bool, now: datetime
) -> Found:
    """Return how these rows differ from what was told of them."""
    found = Found()
    for key, raw in rows:
        line = states.line_of(source, key, raw)
        told = known.get(line.key)
        if told == line:
            continue
        found.lines.append(line)
        if told is None and baseline:
            found.noted += 1
            continue
        with NeverBreaking(source):
            before = None if told is None else states.told_before(source, told, raw)
            change = diff(source, before=before, after=raw, now=now, using=database_of(source))
            if change.created or change.changed:
                found.changes.append(change)
    return found


def compare_ends(source: Source, lines: Sequence[Line], *, now: datetime) -> Found:
    """Return the ends of objects that are known by what was told of them."""
    found = Found(lines=list(lines))
    for line in lines:
        with NeverBreaking(source):
            before = states.told_raw(source, line)
            found.changes.append(diff(source, before=before, after=None, now=now, using=database_of(source)))
    return found
