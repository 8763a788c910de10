"""Telling what is due: one event at a time, each in a transaction of its own, and only what is still true."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import InterfaceError, OperationalError, transaction

from tms_webhooks.expiry.due import DueEvent
from tms_webhooks.models import Occurrence
from tms_webhooks.outbox.record import record_planned
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.deadlines import Deadline
from tms_webhooks.sources.row_sets import database_of, rows_of
from tms_webhooks.sources.rules import Change
from tms_webhooks.sources.snapshots import locked, read_rows

# How many rows are read whole at a time.
BATCH = 500

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ScanResult:
    """How many events were recorded, and whether time ran out before that was all.

    ``left_to_another`` says that another scan was met at work, which tells the rest.
    """

    events: int = 0
    out_of_time: bool = False
    left_to_another: bool = False

    @property
    def finished(self) -> bool:
        """Whether all that was due has been told."""
        return not (self.out_of_time or self.left_to_another)

    def __add__(self, other: ScanResult) -> ScanResult:
        return ScanResult(
            self.events + other.events,
            self.out_of_time or other.out_of_time,
            self.left_to_another or other.left_to_another,
        )


class AnotherScanError(Exception):
    """What this scan was about to tell was told since it looked."""


def record_all(
    source: Source, deadline: Deadline, due: Iterable[DueEvent], *, now: datetime, out_of_time: Callable[[], bool]
) -> ScanResult:
    """Record an event of each that is due, in the order of their dates, until ``out_of_time`` returns True."""
    events = 0
    # A host's filter may join a table and so find a row more than once.
    single = {one.told.once: one for one in due}
    in_order = sorted(single.values(), key=lambda one: one.at)
    for start in range(0, len(in_order), BATCH):
        batch = in_order[start : start + BATCH]
        known = dict(read_rows(source, rows_of(source).filter(source.open_rows(), pk__in={one.key for one in batch})))
        for number, one in enumerate(batch, start=start + 1):
            if one.key in known:
                try:
                    events += _record_or_log(source, deadline, one, known[one.key], now=now)
                except AnotherScanError:
                    return ScanResult(events, left_to_another=True)
            if number < len(in_order) and out_of_time():
                return ScanResult(events, out_of_time=True)
    return ScanResult(events)


def _record_or_log(source: Source, deadline: Deadline, due: DueEvent, raw: dict[str, Any], *, now: datetime) -> bool:
    try:
        return _record(source, deadline, due, raw, now=now)
    except (AnotherScanError, OperationalError, InterfaceError):
        # These end the scan: the database that can't be reached or is too busy may be better at the next one.
        raise
    except Exception:
        # One object that can't be told must hold up neither the others nor the scans to come.
        logger.exception("%s of %s %s could not be told.", due.told.event_type, source.model._meta.label, due.key)
        return False


def _record(source: Source, deadline: Deadline, due: DueEvent, raw: dict[str, Any], *, now: datetime) -> bool:
    """Record one event, if it is still true; return whether it was recorded."""
    using = database_of(source)
    with transaction.atomic(using=using):
        latest = _lock(source, due, raw)
        values = source.canonical(latest) if latest else {}
        if values.get(deadline.field) != due.at or not source.is_open(values):
            return False
        change = Change(before=values, after=values, changed=(), now=now, using=using)
        if record_planned(source, due.told, change, using=using, subscription_id=due.subscription_id) is not None:
            return True
        if Occurrence.objects.using(using).filter(key=due.told.once).exists():
            raise AnotherScanError
        return False


def _lock(source: Source, due: DueEvent, raw: dict[str, Any]) -> dict[str, Any] | None:
    """Lock the row as a change of it would, and return its values: ``raw``, if nothing has changed since it was read.

    Without the lock a change and this event could overtake each other, and what is told last has to be the latest.
    """
    row = rows_of(source).filter(pk=due.key)
    own = dict(read_rows(source, locked(row), names=source.own)).get(due.key)
    if own is None or all(raw[name] == value for name, value in own.items()):
        return raw if own else None
    return dict(read_rows(source, row.filter(source.open_rows()))).get(due.key)
