"""Scan for events that time causes: an object's date comes near (expiring), or has passed (expired).

A scan finds due events by ranges of the index on the host's date column. It leaves out those with an `Occurrence`, and
records each of the others in a short transaction. No event is recorded twice, even by two concurrent scans, and the
next scan records the rest of an interrupted one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from operator import attrgetter
from typing import Any, NamedTuple

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q

from tms_webhooks.actors import actor_context
from tms_webhooks.batches import Batches, Done, Stop, never, run_alternately
from tms_webhooks.catalogue.values import days_left
from tms_webhooks.choices import ActorKind
from tms_webhooks.conf import app_settings
from tms_webhooks.expiry import windows
from tms_webhooks.models import Occurrence, ScanCursor, Subscription
from tms_webhooks.models.audience import RELATIONS, ancestors
from tms_webhooks.models.event import subject_key
from tms_webhooks.models.subscription import SubscriptionQuerySet
from tms_webhooks.outbox.event_row import organizations_of
from tms_webhooks.outbox.record import is_subscribed, record_planned
from tms_webhooks.sources.base import LEARNER, OWNER, TIME_ZONE, Source
from tms_webhooks.sources.deadlines import DAY, DueDate
from tms_webhooks.sources.interest import is_everything_subscribed
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.rows import database_of, in_organizations, lock, read_rows, rows_of
from tms_webhooks.sources.rules import Change, PlannedEvent

# Each scan reads again the last minute before the end of the previous one, which did not see uncommitted changes.
OVERLAP = timedelta(minutes=1)
# The name of the cursor of a scan for objects that have expired.
EXPIRED = "all"
# The greatest distance between two moments with the same calendar date: a day, and 26 hours if the organization moved
# to another time zone.
NEIGHBORS = 3 * DAY
TODAY = timedelta()

logger = logging.getLogger(__name__)


class DueEvent(NamedTuple):
    """An event to record for the row ``key``, if the row's date is still the event's deadline."""

    key: Any
    planned: PlannedEvent


def scan_all(*, now: datetime, stop: Stop = never) -> Done:
    """Record the events of all objects that expire soon or have expired; return their numbers, by the names of the scans.

    ``stop`` is called before each event: when it returns True, the next call continues. An error in one scan does not stop
    the others.
    """
    scans = {f"{source.name} {event_type}": _scan(source, event_type, now=now) for source, event_type in _scans()}
    return run_alternately(scans, stop=stop)


def scan_as_of(now: datetime, *, since: datetime) -> int:
    """Record the events due at ``now``, whatever earlier scans have read, and return their number; for tests that travel in time.

    These are the events of objects that expire from ``since`` to ``now``, and of those that are in the window of a
    subscription at ``now``. The cursors of the scans stay where they are.
    """
    total = 0
    for source, event_type in _scans():
        subscriptions = _cursor_names(source, event_type).values()
        find = _expired if event_type == source.expired_type else _expiring
        found = find(source, event_type, {one: now if one else since for one in subscriptions}, now=now)
        total += sum(record_all(source, found, now=now))
    return total


def _scans() -> Iterator[tuple[Source, str]]:
    """Yield the sources, each with the event types that time causes."""
    for source in all_sources():
        deadline = source.deadline
        if deadline is not None and deadline.field in source.own:
            yield from ((source, name) for name in (deadline.expired, deadline.expiring) if name)


def _scan(source: Source, event_type: str, *, now: datetime) -> Batches:
    """Record the events since the last scan, and yield 1 for each. The first scan of all records none of the past.

    Of expiring events, each subscription has a cursor. A new subscription begins with the objects that are in its window
    now. A changed window applies from the last scan on, because no scan has seen the old one since.
    """
    try:
        names = _cursor_names(source, event_type)
        prefix = f"{event_type}:{source.model._meta.label_lower}:"
        rows = ScanCursor.objects.using(database_of(source))
        cursors = {one.key.removeprefix(prefix): one for one in rows.filter(key__startswith=prefix)}
        rows.filter(pk__in=[cursor.pk for name, cursor in cursors.items() if name not in names]).delete()
        # A concurrent scan may create them, too.
        new = [ScanCursor(key=prefix + name, scanned_until=now) for name in names if name not in cursors]
        rows.bulk_create(new, ignore_conflicts=True)
        since = {one: min(cursors[name].scanned_until, now) if name in cursors else now for name, one in names.items()}
        find = _expired if event_type == source.expired_type else _expiring
        yield from record_all(source, find(source, event_type, since, now=now), now=now)
        # Also back, after a clock was set back; but not those that another scan has moved.
        read = {now, *(cursor.scanned_until for cursor in cursors.values())}
        rows.filter(key__in=[prefix + name for name in names], scanned_until__in=read).update(scanned_until=now)
    except Exception:
        logger.exception("The scan of %r for %s failed; the next run repeats it.", source, event_type)


def _cursor_names(source: Source, event_type: str) -> dict[str, Subscription | None]:
    """Return the names of a scan's cursors: one for each subscription to expiring events, and `EXPIRED` for the others."""
    if event_type == source.expired_type:
        return {EXPIRED: None}
    rows = _subscriptions_to(source, event_type).select_related("webhook").order_by("pk")
    return {str(subscription.pk): subscription for subscription in rows}


# Finding due events: those since the times of the last scans, by the values of `_cursor_names`


def _subscriptions_to(source: Source, event_type: str) -> SubscriptionQuerySet:
    return Subscription.objects.using(database_of(source)).matching([event_type])


def _expired(
    source: Source, event_type: str, since: Mapping[Subscription | None, datetime], *, now: datetime
) -> Iterator[DueEvent]:
    """Yield the events of rows whose date has passed since the last scan, if any subscription matches."""
    using, low = database_of(source), since[None] - OVERLAP
    if not (is_everything_subscribed() or _subscriptions_to(source, event_type).exists()):
        return
    margin = NEIGHBORS if source.is_due_by_day else timedelta()
    recorded = Occurrence.objects.moments_between(low - margin, now + margin, using=using)
    for key, raw in _read_due_rows(source, event_type, low=low, high=now):
        once = source.expired_key(raw)
        if once not in recorded:
            yield DueEvent(key, PlannedEvent(event_type, once=once, deadline=raw[source.due_field]))


def _expiring(
    source: Source, event_type: str, since: Mapping[Subscription | None, datetime], *, now: datetime
) -> Iterator[DueEvent]:
    """Yield the events of rows that entered the window of a subscription. Each row is read once for all of them."""
    using, subscriptions = database_of(source), list(filter(None, since))
    # While tests capture all events, this stands for the subscription of an organization without one.
    captured = [Subscription(pk=0)] if is_everything_subscribed() else []
    since = {**since, **dict.fromkeys(captured, now)}
    for low, high in windows.union(
        windows.reach(one.window, since=last, now=now) for one, last in since.items() if one
    ):
        rows = list(_read_due_rows(source, event_type, low=low, high=high))
        # After the rows: an event of a row's date before an edit was recorded before the edit.
        recorded = Occurrence.objects.moments_between(low - NEIGHBORS, high + NEIGHBORS, using=using)
        organizations = [organizations_of(raw) for _key, raw in rows]
        pairs = {pair for pair in organizations if pair is not None}
        keys = set().union(*(pair.keys for pair in pairs))
        parents = ancestors(keys, using=using) if any(one.webhook.include_children for one in subscriptions) else {}
        matching = {pair: [one for one in subscriptions if one.webhook.scope.matches(pair, parents)] for pair in pairs}
        for (key, raw), pair in zip(rows, organizations, strict=True):
            due = DueDate(raw[source.due_field], source.zone_of(raw))
            for subscription in (matching[pair] if pair else []) or captured:
                last = since[subscription]
                event = _entered_window(subscription, event_type, raw, due, recorded, since=last, now=now)
                if event is not None:
                    yield DueEvent(key, event)


def _entered_window(
    subscription: Subscription,
    event_type: str,
    raw: Mapping[str, Any],
    due: DueDate,
    recorded: Mapping[str, datetime],
    *,
    since: datetime,
    now: datetime,
) -> PlannedEvent | None:
    """Return the event of a row that entered the subscription's window; None if it did not, or was recorded before."""
    window, created_at = subscription.window, raw.get("created_at")
    if isinstance(created_at, datetime):
        since = min(max(since, created_at), now)
    if not windows.was_inside(due.at, window, since=since, now=now):
        return None
    # An event may be recorded for a moment less than a day away, which has another date in another time zone.
    keys = {
        step: expiring_key(event_type, subscription.pk, subject_key(raw["id"]), due.day + step)
        for step in (-DAY, TODAY, DAY)
    }
    if any(key in recorded and (not step or due.is_same_as(recorded[key])) for step, key in keys.items()):
        return None
    # Until the second scan after its time an event is not late.
    tolerance = 2 * timedelta(minutes=app_settings.EXPIRY_MINUTES)
    late = windows.is_late(due.at, window, since=since, now=now, tolerance=tolerance)
    more, less = window
    details = {
        "days_left": days_left(due.at, now=now),
        "late": late,
        "window.more_than_days": more,
        "window.less_than_days": less,
    }
    return PlannedEvent(
        event_type, once=keys[TODAY], deadline=due.at, extra=details, subscription_id=subscription.pk or None
    )


def expiring_key(event_type: str, subscription_id: int, subject_id: str, day: date) -> str:
    """Return the key that makes an "expiring" event unique for one subscription, object and date.

    The window's days are not part of it: a subscription whose window is edited gets no second event for the same date.
    """
    return f"{event_type}:{subscription_id}:{subject_id}:{day.isoformat()}"


def _read_due_rows(
    source: Source, event_type: str, *, low: datetime, high: datetime
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield the key of each open row with a date after ``low`` up to ``high``, and the values that decide about its event.

    The other values are read later, for the events that are recorded.
    """
    column = str(source.own[source.due_field].lookup)
    dates: dict[str, Any] = {f"{column}__gt": low, f"{column}__lte": high}
    if source.is_due_by_day:
        # The days that end between the two in any time zone: from 14 hours before to 12 after the day's end in UTC.
        days = (low.astimezone(UTC) - DAY).date(), high.astimezone(UTC).date()
        dates = {f"{column}__gte": days[0], f"{column}__lte": days[1]}
    rows = rows_of(source).filter(_with_subscribers(source, event_type), source._open_rows(), **dates)
    names = {"id", OWNER, LEARNER, TIME_ZONE.name, "created_at", source.due_field, *source.inputs}
    for key, raw in read_rows(source, rows, names=names):
        values = source.canonical(raw)
        if low < values[source.due_field] <= high:
            yield key, values


def _with_subscribers(source: Source, event_type: str) -> Q:
    """Return a filter that leaves out rows of organizations without a subscription to this event type.

    It keeps all rows where the condition would need the organization tree, or SQL can't read to whom they belong.
    """
    subscriptions = _subscriptions_to(source, event_type).order_by()
    if is_everything_subscribed() or subscriptions.filter(webhook__include_children=True).exists():
        return Q()
    keys = {
        relation: subscriptions.exclude(webhook__audience=relation.closed_to).values("webhook__organization_id")
        for relation in RELATIONS
    }
    return in_organizations(source, keys) or Q()


# Recording them


def record_all(source: Source, due: Iterable[DueEvent], *, now: datetime) -> Batches:
    """Record due events in the order of their dates and keys; yield 1 for each, and 0 for one that was not to be recorded."""
    for one in sorted(due, key=attrgetter("planned.deadline", "key")):
        try:
            yield int(_record(source, one, now=now))
        except (OperationalError, InterfaceError):
            # These end the scan; the next one continues it.
            raise
        except Exception:
            # The other events, and the next scans, must not be affected.
            event_type, label = one.planned.event_type, source.model._meta.label
            logger.exception("%s of %s %s could not be recorded.", event_type, label, one.key)


def _record(source: Source, due: DueEvent, *, now: datetime) -> bool:
    """Record one event if its row is open, its date is the same and no other scan recorded it; return whether it was."""
    using = database_of(source)
    with actor_context(ActorKind.SYSTEM), transaction.atomic(using=using):
        row = rows_of(source).filter(pk=due.key)
        # As a change does: an event of a later change is recorded after this one.
        lock(row)
        latest = dict(read_rows(source, row.filter(source._open_rows()))).get(due.key)
        values = source.canonical(latest) if latest else {}
        if values.get(source.due_field) != due.planned.deadline or not source.is_open(values):
            return False
        change = Change(before=values, after=values, changed=(), now=now, using=using)
        is_awaited = is_subscribed(due.planned.event_type, organizations_of(values), using=using)
        return is_awaited and record_planned(source, change, due.planned)
