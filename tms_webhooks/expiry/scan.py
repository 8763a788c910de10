"""Scan for events that time causes: an object's date comes near (expiring), or has passed (expired).

A scan finds due events by ranges of the index on the host's date column. It leaves out those with an `Occurrence`, and
records each of the others in a short transaction. No event is recorded twice, even by two concurrent scans, and the
next scan records the rest of an interrupted one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import InterfaceError, OperationalError, transaction

from tms_webhooks.actors import actor_context
from tms_webhooks.batches import never
from tms_webhooks.choices import ActorKind
from tms_webhooks.expiry import due
from tms_webhooks.expiry.due import DueEvent, ExpiringSubscription
from tms_webhooks.models import ScanCursor, Subscription
from tms_webhooks.outbox.event_row import organizations_of
from tms_webhooks.outbox.record import record_planned
from tms_webhooks.outbox.subscribed import matching_types
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.deadlines import Deadline
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.rows import database_of, locked, read_rows, rows_of
from tms_webhooks.sources.rules import Change


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


# Each scan reads again the last minute before the end of the previous one, which did not see uncommitted changes.
OVERLAP = timedelta(minutes=1)
# The name of the cursor of a scan for objects that have expired.
EXPIRED = "all"

logger = logging.getLogger(__name__)


def scan_all(*, now: datetime, out_of_time: Callable[[], bool] = never) -> ScanResult:
    """Record the events of all objects that expire soon or have expired. An error in one source does not stop the others.

    ``out_of_time`` is called after each event. When it returns True the scan ends, and the next one continues.
    """
    events, is_over = 0, False
    with actor_context(ActorKind.SYSTEM):
        for source, deadline, event_type in _scans():
            try:
                scanned = _scan(source, deadline, event_type, now=now, out_of_time=out_of_time)
                events, is_over = events + scanned.events, is_over or scanned.out_of_time
            except Exception:
                logger.exception("The scan of %r for %s failed; the next run repeats it.", source, event_type)
    return ScanResult(events, is_over)


def scan_as_of(now: datetime, *, since: datetime) -> int:
    """Record the events due at ``now``, whatever earlier scans have read, and return their number; for tests that travel in time.

    These are the events of objects that expire from ``since`` to ``now``, and of those that are in the window of a
    subscription at ``now``. The cursors of the scans stay where they are.
    """
    total = 0
    with actor_context(ActorKind.SYSTEM):
        for source, deadline, event_type in _scans():
            names = _cursor_names(source, deadline, event_type)
            found = _due(source, deadline, names, dict.fromkeys(names, now) | {EXPIRED: since}, now=now)
            total += record_all(source, deadline, found, now=now, out_of_time=never).events
    return total


def _scans() -> Iterator[tuple[Source, Deadline, str]]:
    """Yield the event types that time causes, with their source and deadline."""
    for source in all_sources():
        deadline = source.deadline
        if deadline is not None and deadline.field in source.own:
            yield from ((source, deadline, name) for name in (deadline.expired, deadline.expiring) if name)


def _scan(
    source: Source, deadline: Deadline, event_type: str, *, now: datetime, out_of_time: Callable[[], bool]
) -> ScanResult:
    """Record the events since the last scan. The first scan of all records none of the past.

    Of expiring events, each subscription has a cursor. A new subscription begins with the objects that are in its window
    now. A changed window applies from the last scan on, because no scan has seen the old one since.
    """
    using = database_of(source)
    names = _cursor_names(source, deadline, event_type)
    prefix, rows = f"{event_type}:{source.model._meta.label_lower}:", ScanCursor.objects.using(using)
    cursors = {one.key.removeprefix(prefix): one for one in rows.filter(key__startswith=prefix)}
    rows.filter(pk__in=[cursor.pk for name, cursor in cursors.items() if name not in names]).delete()
    # A concurrent scan may create them, too.
    new = [ScanCursor(key=prefix + name, scanned_until=now) for name in names if name not in cursors]
    rows.bulk_create(new, ignore_conflicts=True)
    since = {name: min(cursors[name].scanned_until, now) if name in cursors else now for name in names}
    if EXPIRED in since:
        since[EXPIRED] -= OVERLAP
    found = _due(source, deadline, names, since, now=now)
    scanned = record_all(source, deadline, found, now=now, out_of_time=out_of_time)
    if not scanned.out_of_time:
        # Also back, after a clock was set back; but not those that another scan has moved.
        read = {now, *(cursor.scanned_until for cursor in cursors.values())}
        rows.filter(key__in=[prefix + name for name in names], scanned_until__in=read).update(scanned_until=now)
    return scanned


def _cursor_names(source: Source, deadline: Deadline, event_type: str) -> dict[str, Subscription | None]:
    """Return the names of a scan's cursors: one for each subscription to expiring events, and `EXPIRED` for the others."""
    if event_type != deadline.expiring:
        return {EXPIRED: None}
    rows = due.subscriptions_to(event_type, using=database_of(source)).select_related("webhook").order_by("pk")
    return {str(subscription.pk): subscription for subscription in rows}


def _due(
    source: Source,
    deadline: Deadline,
    names: Mapping[str, Subscription | None],
    since: Mapping[str, datetime],
    *,
    now: datetime,
) -> Iterator[DueEvent]:
    """Return the events since these times, by the names of `_cursor_names`."""
    if EXPIRED in names:
        return due.expired(source, deadline, since=since[EXPIRED], now=now)
    watched = [
        ExpiringSubscription(one.pk, one.webhook.scope, one.window, since[name])
        for name, one in names.items()
        if one is not None
    ]
    return due.expiring(source, deadline, watched, now=now)
