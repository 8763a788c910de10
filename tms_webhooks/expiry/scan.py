"""Scan for events that time causes: an object's date comes near (expiring), or has passed (expired).

A scan finds due events by ranges of the index on the host's date column. It leaves out those with an `Occurrence`, and
records each of the others in a short transaction. No event is recorded twice, even by two concurrent scans, and the
next scan records the rest of an interrupted one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime, timedelta

from tms_webhooks.actors import actor_context
from tms_webhooks.batches import never
from tms_webhooks.choices import ActorKind
from tms_webhooks.expiry import due
from tms_webhooks.expiry.due import DueEvent
from tms_webhooks.expiry.record import ScanResult, record_all
from tms_webhooks.models import ScanCursor
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.deadlines import Deadline
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.row_sets import database_of

# Each scan reads again the last minute before the end of the previous one, which did not see uncommitted changes.
OVERLAP = timedelta(minutes=1)

logger = logging.getLogger(__name__)


def scan_all(*, now: datetime, out_of_time: Callable[[], bool] = never) -> ScanResult:
    """Record the events of all objects that expire soon or have expired. An error in one source does not stop the others.

    ``out_of_time`` is called after each event. When it returns True the scan ends, and the next one continues.
    """
    events, is_over = 0, False
    with actor_context(ActorKind.SYSTEM):
        for source, deadline in _sources_with_deadline():
            for scan in (scan_expired, scan_expiring) if deadline.expired else (scan_expiring,):
                try:
                    scanned = scan(source, deadline, now=now, out_of_time=out_of_time)
                    events, is_over = events + scanned.events, is_over or scanned.out_of_time
                except Exception:
                    logger.exception("%s of %r failed; the next run repeats it.", scan.__name__, source)
    return ScanResult(events, is_over)


def scan_as_of(now: datetime, *, since: datetime) -> int:
    """Record the events due at ``now``, whatever earlier scans have read, and return their number; for tests that travel in time.

    These are the events of objects that expire from ``since`` to ``now``, and of those that are in the window of a
    subscription at ``now``. The cursors of the scans stay where they are.
    """
    total = 0
    with actor_context(ActorKind.SYSTEM):
        for source, deadline in _sources_with_deadline():
            found = list(due.expired(source, deadline, since=since, now=now))
            subscriptions = due.subscriptions_to(deadline.expiring, using=database_of(source)).select_related("webhook")
            watched = [due.expiring_subscription(one, since=now, now=now) for one in subscriptions]
            found += due.expiring(source, deadline, watched, now=now)
            total += record_all(source, deadline, found, now=now, out_of_time=never).events
    return total


def _sources_with_deadline() -> Iterator[tuple[Source, Deadline]]:
    for source in all_sources():
        if source.deadline is not None and source.deadline.field in source.own:
            yield source, source.deadline


def scan_expired(
    source: Source, deadline: Deadline, *, now: datetime, out_of_time: Callable[[], bool] = never
) -> ScanResult:
    """Record the events of objects that expired since the last scan. The first scan of all records none of the past."""

    def find(since: Mapping[str, datetime]) -> Iterator[DueEvent]:
        return due.expired(source, deadline, since=since["all"] - OVERLAP, now=now)

    return _scan(source, deadline, deadline.expired, ["all"], find, now=now, out_of_time=out_of_time)


def scan_expiring(
    source: Source, deadline: Deadline, *, now: datetime, out_of_time: Callable[[], bool] = never
) -> ScanResult:
    """Record the events of objects that entered the window of a subscription, once per subscription, object and date.

    The rows are read once for all subscriptions. A new subscription begins with the objects that are in its window now.
    A changed window applies from the last scan on, because no scan has seen the old one since.
    """
    rows = due.subscriptions_to(deadline.expiring, using=database_of(source)).select_related("webhook").order_by("pk")
    subscriptions = {str(subscription.pk): subscription for subscription in rows}

    def find(since: Mapping[str, datetime]) -> Iterator[DueEvent]:
        watched = [due.expiring_subscription(one, since=since[key], now=now) for key, one in subscriptions.items()]
        return due.expiring(source, deadline, watched, now=now)

    return _scan(source, deadline, deadline.expiring, subscriptions, find, now=now, out_of_time=out_of_time)


def _scan(
    source: Source,
    deadline: Deadline,
    event_type: str | None,
    names: Collection[str],
    find: Callable[[Mapping[str, datetime]], Iterator[DueEvent]],
    *,
    now: datetime,
    out_of_time: Callable[[], bool],
) -> ScanResult:
    """Record what ``find`` returns for the times of the last scans of these names; advance them if all is recorded."""
    using = database_of(source)
    prefix, rows = f"{event_type}:{source.model._meta.label_lower}:", ScanCursor.objects.using(using)
    cursors = {one.key.removeprefix(prefix): one for one in rows.filter(key__startswith=prefix)}
    rows.filter(pk__in=[cursor.pk for name, cursor in cursors.items() if name not in names]).delete()
    # A concurrent scan may create them, too.
    new = [ScanCursor(key=prefix + name, scanned_until=now) for name in names if name not in cursors]
    rows.bulk_create(new, ignore_conflicts=True)
    since = {name: min(cursors[name].scanned_until, now) if name in cursors else now for name in names}
    scanned = record_all(source, deadline, find(since), now=now, out_of_time=out_of_time)
    if not scanned.out_of_time:
        # Also back, after a clock was set back; but not those that another scan has moved.
        read = {now, *(cursor.scanned_until for cursor in cursors.values())}
        rows.filter(key__in=[prefix + name for name in names], scanned_until__in=read).update(scanned_until=now)
    return scanned
