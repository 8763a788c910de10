"""The events that time makes: what comes near its date, and what has passed it.

A scan finds what is due by ranges of the index on the host's date column, leaves out what `Occurrence` says was told,
and tells the rest, each in a short transaction of its own. So one that is cut short, or two at once, tell nothing
twice, and what is missing is told by the next.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from tms_webhooks.actors import actor_context
from tms_webhooks.choices import ActorKind
from tms_webhooks.expiry import due
from tms_webhooks.expiry.record import ScanResult, record_all
from tms_webhooks.models import ScanCursor
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.deadlines import Deadline
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.row_sets import database_of

# Each scan looks again at the end of the last one: a change that was being committed then could not be seen.
OVERLAP = timedelta(minutes=1)

logger = logging.getLogger(__name__)


def never() -> bool:
    """Return False: there is time enough."""
    return False


def scan_all(*, now: datetime, out_of_time: Callable[[], bool] = never) -> ScanResult:
    """Tell of all that expires soon or has expired. What goes wrong in one source holds up no other.

    ``out_of_time`` is asked after each event; when it returns True the scan ends, and the next one goes on.
    """
    total = ScanResult()
    with actor_context(ActorKind.SYSTEM):
        for source in all_sources():
            if source.deadline is None or source.deadline.field not in source.own:
                continue
            for scan in (scan_expired, scan_expiring) if source.deadline.expired else (scan_expiring,):
                try:
                    total += scan(source, source.deadline, now=now, out_of_time=out_of_time)
                except Exception:
                    logger.exception("%s of %r failed; the next run makes it up.", scan.__name__, source)
    return total


def scan_expired(
    source: Source, deadline: Deadline, *, now: datetime, out_of_time: Callable[[], bool] = never
) -> ScanResult:
    """Tell of what has passed its date since the last scan. What had passed before the first of all is left alone."""
    using = database_of(source)
    scan = f"{deadline.expired}:{source.model._meta.label_lower}"
    cursors = ScanCursor.objects.current(scan, ["all"], now=now, using=using)
    found = due.expired(source, deadline, since=min(cursors["all"].scanned_until, now) - OVERLAP, now=now)
    scanned = record_all(source, deadline, found, now=now, out_of_time=out_of_time)
    if scanned.finished:
        ScanCursor.objects.advance(cursors.values(), until=now, using=using)
    return scanned


def scan_expiring(
    source: Source, deadline: Deadline, *, now: datetime, out_of_time: Callable[[], bool] = never
) -> ScanResult:
    """Tell each subscription of what entered its days window, once for each object and date.

    All subscriptions share one reading of the rows. A new one, or one with another window, begins with what is inside
    now.
    """
    using = database_of(source)
    scan = f"{deadline.expiring}:{source.model._meta.label_lower}"
    subscriptions = {
        f"{subscription.pk}:{subscription.window[0]}:{subscription.window[1]}": subscription
        for subscription in due.wanting(deadline.expiring, using=using).select_related("webhook").order_by("pk")
    }
    cursors = ScanCursor.objects.current(scan, subscriptions, now=now, using=using)
    watches = [
        due.watch(subscription, since=min(cursors[name].scanned_until, now), now=now)
        for name, subscription in subscriptions.items()
    ]
    found = due.expiring(source, deadline, watches, now=now)
    scanned = record_all(source, deadline, found, now=now, out_of_time=out_of_time)
    if scanned.finished:
        ScanCursor.objects.advance(cursors.values(), until=now, using=using)
    return scanned
