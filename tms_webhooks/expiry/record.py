"""Record due events, each in its own transaction, if its row has not changed since it was read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from django.db import InterfaceError, OperationalError, transaction

from tms_webhooks.expiry.due import DueEvent
from tms_webhooks.outbox.event_row import organizations_of
from tms_webhooks.outbox.record import record_planned
from tms_webhooks.outbox.subscribed import matching_types
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.deadlines import Deadline
from tms_webhooks.sources.row_sets import database_of, rows_of
from tms_webhooks.sources.rules import Change
from tms_webhooks.sources.snapshots import locked, read_rows

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
    for number, one in enumerate(in_order, start=1):
        events += _record_or_log(source, deadline, one, now=now)
        if number < len(in_order) and out_of_time():
            return ScanResult(events, out_of_time=True)
    return ScanResult(events)


def _record_or_log(source: Source, deadline: Deadline, due: DueEvent, *, now: datetime) -> bool:
    try:
        return _record(source, deadline, due, now=now)
    except (OperationalError, InterfaceError):
        # These end the scan; the next one continues it.
        raise
    except Exception:
        # The other events, and the next scans, must not be affected.
        logger.exception(
            "%s of %s %s could not be recorded.", due.planned.event_type, source.model._meta.label, due.key
        )
        return False


def _record(source: Source, deadline: Deadline, due: DueEvent, *, now: datetime) -> bool:
    """Record one event if its row is open, its date is the same and no other scan recorded it; return whether it was."""
    using = database_of(source)
    with transaction.atomic(using=using):
        row = rows_of(source).filter(pk=due.key)
        # As a change does: an event of a later change is recorded after this one.
        read_rows(source, locked(row), names=("id",))
        latest = dict(read_rows(source, row.filter(source._open_rows()))).get(due.key)
        values = source.canonical(latest) if latest else {}
        if values.get(deadline.field) != due.at or not source.is_open(values):
            return False
        change = Change(before=values, after=values, changed=(), now=now, using=using)
        types = matching_types([due.planned.event_type], organizations_of(values), using=using)
        return bool(types) and record_planned(
            source, change, due.planned, using=using, subscription_id=due.subscription_id
        )
