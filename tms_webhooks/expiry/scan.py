"""The events that time makes: what comes near its date, and what has passed it.

A scan finds what is due by ranges of the index on the host's date column, leaves out what `Occurrence` says was told,
and tells the rest, each in a short transaction of its own. So one that is cut short, or two at once, tell nothing
twice, and what is missing is told by the next.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import InterfaceError, OperationalError, models, router, transaction

from tms_webhooks.actors import actor_context
from tms_webhooks.choices import ActorKind
from tms_webhooks.expiry import windows
from tms_webhooks.models import Occurrence, ScanCursor, Subscription
from tms_webhooks.models.event import subject_key
from tms_webhooks.outbox.record import record_told
from tms_webhooks.sources.base import Source, Told
from tms_webhooks.sources.deadlines import Deadline, expired_key, expiring_key
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.rules import Change
from tms_webhooks.sources.snapshots import locked, read_rows

# Each scan looks again at the end of the last one: a change that was being committed then could not be seen.
OVERLAP = timedelta(minutes=1)
# How many rows are read whole at a time.
BATCH = 500

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scanned:
    """How many events were recorded, and whether that was all that was due."""

    events: int = 0
    finished: bool = True

    def __add__(self, other: Scanned) -> Scanned:
        return Scanned(self.events + other.events, self.finished and other.finished)


@dataclass(frozen=True, slots=True)
class Due:
    """One event that is to be told of the row ``key``, if its date is still ``at``."""

    key: Any
    at: datetime
    told: Told
    subscription_id: int | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """A subscription to expiring events: its window, and since when nobody has looked for it."""

    subscription_id: int
    organization_id: Any
    window: tuple[float, float]
    since: datetime
    reach: windows.Range


def never() -> bool:
    """Return False: there is time enough."""
    return False


def scan_all(*, now: datetime, out_of_time: Callable[[], bool] = never) -> Scanned:
    """Tell of all that expires soon or has expired. What goes wrong in one source holds up no other.

    ``out_of_time`` is asked after each event; when it returns True the scan ends, and the next one goes on.
    """
    total = Scanned()
    with actor_context(ActorKind.SYSTEM):
        for source in all_sources():
            if source.deadline is None or source.deadline.field not in source.own:
                continue
            for scan in (scan_expired, scan_expiring):
                try:
                    total += scan(source, source.deadline, now=now, out_of_time=out_of_time)
                except Exception:
                    logger.exception("%s of %r failed; the next run makes it up.", scan.__name__, source)
    return total


def scan_expired(
    source: Source, deadline: Deadline, *, now: datetime, out_of_time: Callable[[], bool] = never
) -> Scanned:
    """Tell of what has passed its date since the last scan. What had passed before the first of all is left alone."""
    using = _alias(source)
    scan = f"{deadline.expired}:{source.model._meta.label_lower}"
    cursors = ScanCursor.objects.keep(scan, ["all"], now=now, using=using)
    due = list(_expired(source, deadline, since=min(cursors["all"].scanned_until, now) - OVERLAP, now=now))
    scanned = _tell_all(source, deadline, due, now=now, out_of_time=out_of_time)
    if scanned.finished:
        ScanCursor.objects.advance(cursors.values(), until=now, using=using)
    return scanned


def scan_expiring(
    source: Source, deadline: Deadline, *, now: datetime, out_of_time: Callable[[], bool] = never
) -> Scanned:
    """Tell each subscription of what entered its days window, once for each object and date.

    All subscriptions share one reading of the rows. A new one, or one with another window, begins with what is inside
    now.
    """
    using = _alias(source)
    scan = f"{deadline.expiring}:{source.model._meta.label_lower}"
    subscriptions = {
        f"{subscription.pk}:{subscription.window[0]}:{subscription.window[1]}": subscription
        for subscription in _wanting(deadline.expiring, using=using).select_related("webhook").order_by("pk")
    }
    cursors = ScanCursor.objects.keep(scan, subscriptions, now=now, using=using)
    watches = [
        _watch(subscription, since=min(cursors[name].scanned_until, now), now=now)
        for name, subscription in subscriptions.items()
    ]
    due = list(_expiring(source, deadline, watches, now=now))
    scanned = _tell_all(source, deadline, due, now=now, out_of_time=out_of_time)
    if scanned.finished:
        ScanCursor.objects.advance(cursors.values(), until=now, using=using)
    return scanned


def _expired(source: Source, deadline: Deadline, *, since: datetime, now: datetime) -> Iterator[Due]:
    using = _alias(source)
    wanting = _wanting(deadline.expired, using=using).values_list("webhook__organization_id", flat=True)
    organizations = set(wanting)
    if not organizations:
        return
    told = Occurrence.objects.told_of(since, now, using=using)
    column = source.own[deadline.field].lookup
    rows = _open_rows(source, deadline.expired).filter(**{f"{column}__gt": since, f"{column}__lte": now})
    for key, raw in _read_briefly(source, deadline, rows):
        if raw["organization.id"] in organizations:
            at = raw[deadline.field]
            once = expired_key(deadline.expired, subject_key(raw["id"]), at)
            if once not in told:
                yield Due(key, at, Told(deadline.expired, once=once, deadline=at))


def _expiring(source: Source, deadline: Deadline, watches: list[Watch], *, now: datetime) -> Iterator[Due]:
    by_organization: dict[Any, list[Watch]] = defaultdict(list)
    for watch in watches:
        by_organization[watch.organization_id].append(watch)
    column = source.own[deadline.field].lookup
    for low, high in windows.union(watch.reach for watch in watches):
        told = Occurrence.objects.told_of(low, high, using=_alias(source))
        rows = _open_rows(source, deadline.expiring).filter(**{f"{column}__gt": low, f"{column}__lt": high})
        for key, raw in _read_briefly(source, deadline, rows):
            for watch in by_organization.get(raw["organization.id"], ()):
                event = _entered(watch, deadline, raw, told, now=now)
                if event is not None:
                    yield Due(key, raw[deadline.field], event, watch.subscription_id)


def _entered(watch: Watch, deadline: Deadline, raw: Mapping[str, Any], told: set[str], *, now: datetime) -> Told | None:
    at = raw[deadline.field]
    low, high = watch.reach
    if not low < at < high:
        return None
    once = expiring_key(deadline.expiring, watch.subscription_id, watch.window, subject_key(raw["id"]), at)
    if once in told:
        return None
    created_at = raw.get("created_at")
    if not windows.was_inside(at, watch.window, since=watch.since, now=now, created_at=created_at):
        return None
    more, less = watch.window
    days = {
        "days_left": windows.days_left(at, now=now),
        "window.more_than_days": more,
        "window.less_than_days": less,
    }
    return Told(deadline.expiring, once=once, deadline=at, extra=days)


def _tell_all(
    source: Source, deadline: Deadline, due: list[Due], *, now: datetime, out_of_time: Callable[[], bool]
) -> Scanned:
    events = 0
    due = sorted(due, key=lambda one: one.at)
    for start in range(0, len(due), BATCH):
        batch = due[start : start + BATCH]
        known = dict(read_rows(source, _rows(source).filter(source.open_rows(), pk__in={one.key for one in batch})))
        for number, one in enumerate(batch, start=start + 1):
            if one.key in known:
                events += _tell_or_log(source, deadline, one, known[one.key], now=now)
            if number < len(due) and out_of_time():
                return Scanned(events, finished=False)
    return Scanned(events)


def _tell_or_log(source: Source, deadline: Deadline, due: Due, raw: dict[str, Any], *, now: datetime) -> bool:
    try:
        return _tell(source, deadline, due, raw, now=now)
    except (OperationalError, InterfaceError):
        # The database can't be reached or is too busy: the next run may find it better.
        raise
    except Exception:
        # One object that can't be told must hold up neither the others nor the scans to come.
        logger.exception("%s of %s %s could not be told.", due.told.event_type, source.model._meta.label, due.key)
        return False


def _tell(source: Source, deadline: Deadline, due: Due, raw: dict[str, Any], *, now: datetime) -> bool:
    """Record one event, if it is still true; return whether it was recorded."""
    using = _alias(source)
    with transaction.atomic(using=using):
        latest = _lock(source, due, raw)
        values = source.canonical(latest) if latest else {}
        if values.get(deadline.field) != due.at or not source.is_open(values):
            return False
        change = Change(before=values, after=values, changed=(), now=now, using=using)
        event = record_told(source, due.told, change, using=using, subscription_id=due.subscription_id)
        return event is not None


def _lock(source: Source, due: Due, raw: dict[str, Any]) -> dict[str, Any] | None:
    """Lock the row as a change of it would, and return its values: ``raw``, if nothing has changed since it was read.

    Without the lock a change and this event could overtake each other, and what is told last has to be the latest.
    """
    row = _rows(source).filter(pk=due.key)
    own = dict(read_rows(source, locked(row), names=source.own)).get(due.key)
    if own is None or all(raw[name] == value for name, value in own.items()):
        return raw if own else None
    return dict(read_rows(source, row.filter(source.open_rows()))).get(due.key)


def _alias(source: Source) -> str:
    return router.db_for_write(source.model)


def _wanting(event_type: str, *, using: str) -> models.QuerySet[Subscription]:
    return Subscription.objects.using(using).wanting([event_type])


def _watch(subscription: Subscription, *, since: datetime, now: datetime) -> Watch:
    return Watch(
        subscription.pk,
        subscription.webhook.organization_id,
        subscription.window,
        since,
        windows.reach(subscription.window, since=since, now=now),
    )


def _rows(source: Source) -> models.QuerySet[Any]:
    # The base manager, because a default manager may hide rows; no order, because a model's own costs a sort.
    return source.model._base_manager.using(_alias(source)).order_by()


def _open_rows(source: Source, event_type: str) -> models.QuerySet[Any]:
    """Return the rows whose date still matters, of organizations that want to know."""
    owner = source.mapped["organization.id"].lookup
    wanting = _wanting(event_type, using=_alias(source)).order_by().values("webhook__organization_id")
    return _rows(source).filter(source.open_rows(), **{f"{owner}__in": wanting})


def _read_briefly(
    source: Source, deadline: Deadline, rows: models.QuerySet[Any]
) -> Iterable[tuple[Any, dict[str, Any]]]:
    """Read what decides whether an event is due; the rest is read of those that are told."""
    return read_rows(source, rows, names={"id", "organization.id", "created_at", deadline.field})
