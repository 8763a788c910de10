"""Record due events, each in its own transaction, if its row has not changed since it was read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple

from django.db import InterfaceError, OperationalError, transaction

from tms_webhooks.expiry.due import DueEvent
from tms_webhooks.outbox.record import record_planned
from tms_webhooks.outbox.subscribed import matching_types, organizations_of
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.deadlines import Deadline
from tms_webhooks.sources.row_sets import database_of, rows_of
from tms_webhooks.sources.rules import Change
from tms_webhooks.sources.snapshots import locked, read_rows

# Rows that are read with all their values together.
BATCH = 500

logger = logging.getLogger(__name__)


class ScanResult(NamedTuple):
    """How many events a scan recorded, and whether it ended before all due events were recorded."""

    events: int = 0
    out_of_time: bool = False


def record_all(
    source: Source, deadline: Deadline, due: Iterable[DueEvent], *, now: datetime, out_of_time: Callable[[], bool]
) -> ScanResult:
    """Record due events in the order of their dates and keys, until ``out_of_time`` returns True. It is called after each event."""
    events = 0
    in_order = sorted(due, key=lambda one: (one.at, one.key))
    for start in range(0, len(in_order), BATCH):
        batch = in_order[start : start + BATCH]
        known = dict(read_rows(source, rows_of(source).filter(source._open_rows(), pk__in={one.key for one in batch})))
        for number, one in enumerate(batch, start=start + 1):
            if one.key in known:
                events += _record_or_log(source, deadline, one, known[one.key], now=now)
            if number < len(in_order) and out_of_time():
                return ScanResult(events, out_of_time=True)
    return ScanResult(events)


def _record_or_log(source: Source, deadline: Deadline, due: DueEvent, raw: dict[str, Any], *, now: datetime) -> bool:
    try:
        return _record(source, deadline, due, raw, now=now)
    except (OperationalError, InterfaceError):
        # These end the scan; the next one continues it.
        raise
    except Exception:
        # The other events, and the next scans, must not be affected.
        logger.exception(
            "%s of %s %s could not be recorded.", due.planned.event_type, source.model._meta.label, due.key
        )
        return False


def _record(source: Source, deadline: Deadline, due: DueEvent, raw: dict[str, Any], *, now: datetime) -> bool:
    """Record one event if its row is open, its date is the same and no other scan recorded it; return whether it was."""
    using = database_of(source)
    with transaction.atomic(using=using):
        latest = _lock(source, due, raw)
        values = source.canonical(latest) if latest else {}
        if values.get(deadline.field) != due.at or not source.is_open(values):
            return False
        change = Change(before=values, after=values, changed=(), now=now, using=using)
        types = matching_types([due.planned.event_type], organizations_of(values), using=using)
        return bool(types) and record_planned(
            source, change, due.planned, using=using, subscription_id=due.subscription_id
        )


def _lock(source: Source, due: DueEvent, raw: dict[str, Any]) -> dict[str, Any] | None:
    # As a change does: an event of a later change is recorded after this one.
    row = rows_of(source).filter(pk=due.key)
    own = dict(read_rows(source, locked(row), names=source.own)).get(due.key)
    if own is None or all(raw[name] == value for name, value in own.items()):
        return raw if own else None
    return dict(read_rows(source, row.filter(source._open_rows()))).get(due.key)
