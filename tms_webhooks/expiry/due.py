"""Find due events: rows whose date is near or past, without those whose event was recorded before.

All rows are read with the ORM, by a range of the host's date column.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

from django.db import models
from django.db.models import Q

from tms_webhooks.catalogue.values import days_left
from tms_webhooks.choices import Audience
from tms_webhooks.conf import app_settings
from tms_webhooks.expiry import windows
from tms_webhooks.models import Occurrence, Subscription
from tms_webhooks.models.audience import RELATIONS, SubscriberScope, ancestors
from tms_webhooks.models.event import subject_key
from tms_webhooks.models.subscription import DEFAULT_WINDOW
from tms_webhooks.outbox.event_row import organizations_of
from tms_webhooks.sources.base import LEARNER_ORGANIZATION, OWNER, TIME_ZONE, Source
from tms_webhooks.sources.deadlines import DAY, Deadline, DueDate
from tms_webhooks.sources.interest import is_everything_subscribed
from tms_webhooks.sources.rows import database_of, in_organizations, read_rows, rows_of
from tms_webhooks.sources.rules import PlannedEvent

# The greatest distance between two moments with the same calendar date: a day, and 26 hours if the organization moved
# to another time zone.
NEIGHBORS = 3 * DAY


class DueEvent(NamedTuple):
    """An event to record for the row ``key``, if the row's date is still ``at``."""

    key: Any
    at: datetime
    planned: PlannedEvent
    subscription_id: int | None = None


class ExpiringSubscription(NamedTuple):
    """A subscription to expiring events.

    Attributes:
        subscription_id: Its key; 0 where tests capture events without a subscription.
        scope: The scope of its webhook.
        window: (more than, less than) in days before the date.
        since: Time of the last scan for this subscription.
    """

    subscription_id: int
    scope: SubscriberScope
    window: tuple[float, float]
    since: datetime


def subscriptions_to(event_type: str, *, using: str) -> models.QuerySet[Subscription]:
    """Return the enabled subscriptions to an event type."""
    return Subscription.objects.using(using).matching([event_type])


def expired(source: Source, deadline: Deadline, *, since: datetime, now: datetime) -> Iterator[DueEvent]:
    """Yield the events of rows whose date passed between ``since`` and ``now``, if any subscription matches."""
    using, event_type = database_of(source), deadline.expired
    if event_type is None or not (is_everything_subscribed() or subscriptions_to(event_type, using=using).exists()):
        return
    margin = NEIGHBORS if source.is_due_by_day else timedelta()
    recorded = Occurrence.objects.moments_between(since - margin, now + margin, using=using)
    for key, raw in _read_due_rows(source, deadline, event_type, low=since, high=now):
        at = raw[deadline.field]
        once = source.expired_key(raw)
        if once not in recorded:
            yield DueEvent(key, at, PlannedEvent(event_type, once=once, deadline=at))


def expiring(
    source: Source, deadline: Deadline, subscriptions: list[ExpiringSubscription], *, now: datetime
) -> Iterator[DueEvent]:
    """Yield the events of rows that entered the window of a subscription. Each row is read once for all of them."""
    using, captured = database_of(source), []
    if is_everything_subscribed():
        # While tests capture all events, this stands for the subscription of an organization without one.
        scope = SubscriberScope(None, Audience.BOTH, include_children=False)
        captured.append(ExpiringSubscription(0, scope, DEFAULT_WINDOW, now))
    ranges = [windows.reach(one.window, since=one.since, now=now) for one in [*subscriptions, *captured]]
    for low, high in windows.union(ranges):
        rows = list(_read_due_rows(source, deadline, deadline.expiring, low=low, high=high))
        # After the rows: an event of a row's date before an edit was recorded before the edit.
        recorded = Occurrence.objects.moments_between(low - NEIGHBORS, high + NEIGHBORS, using=using)
        organizations = [organizations_of(raw) for _key, raw in rows]
        pairs = {pair for pair in organizations if pair is not None}
        keys = set().union(*(pair.keys for pair in pairs))
        parents = ancestors(keys, using=using) if any(one.scope.include_children for one in subscriptions) else {}
        matching = {pair: [one for one in subscriptions if one.scope.matches(pair, parents)] for pair in pairs}
        for (key, raw), pair in zip(rows, organizations, strict=True):
            due = DueDate(raw[deadline.field], source.zone_of(raw))
            for subscription in (matching[pair] if pair else []) or captured:
                event = _entered_window(subscription, deadline, raw, due, recorded, now=now)
                if event is not None:
                    yield DueEvent(key, due.at, event, subscription.subscription_id or None)


def _entered_window(
    subscription: ExpiringSubscription,
    deadline: Deadline,
    raw: Mapping[str, Any],
    due: DueDate,
    recorded: Mapping[str, datetime],
    *,
    now: datetime,
) -> PlannedEvent | None:
    """Return the event of a row that entered the subscription's window; None if it did not, or was recorded before."""
    created_at = raw["created_at"] if isinstance(raw.get("created_at"), datetime) else None
    window, since = subscription.window, subscription.since
    if not windows.was_inside(due.at, window, since=since, now=now, created_at=created_at):
        return None
    subject_id = subject_key(raw["id"])
    if _was_recorded(due, subscription.subscription_id, deadline.expiring, subject_id, recorded):
        return None
    # Until the second scan after its time an event is not late.
    tolerance = 2 * timedelta(minutes=app_settings.EXPIRY_MINUTES)
    late = windows.is_late(due.at, window, since=since, now=now, created_at=created_at, tolerance=tolerance)
    more, less = window
    details = {
        "days_left": days_left(due.at, now=now),
        "late": late,
        "window.more_than_days": more,
        "window.less_than_days": less,
    }
    once = expiring_key(deadline.expiring, subscription.subscription_id, subject_id, due.day)
    return PlannedEvent(deadline.expiring, once=once, deadline=due.at, extra=details)


def _was_recorded(
    due: DueDate, subscription_id: int, event_type: str, subject_id: str, recorded: Mapping[str, datetime]
) -> bool:
    """Return whether the "expiring" event of a date is recorded, for this or for a moment less than a day away.

    ``recorded`` are the moments of the recorded events of all dates up to a day away, by their keys.
    """
    for step in (-DAY, timedelta(), DAY):
        key = expiring_key(event_type, subscription_id, subject_id, due.day + step)
        if key in recorded and (not step or due.is_same_as(recorded[key])):
            return True
    return False


def expiring_key(event_type: str, subscription_id: int, subject_id: str, day: date) -> str:
    """Return the key that makes an "expiring" event unique for one subscription, object and date.

    The window's days are not part of it: a subscription whose window is edited gets no second event for the same date.
    """
    return f"{event_type}:{subscription_id}:{subject_id}:{day.isoformat()}"


def _read_due_rows(
    source: Source, deadline: Deadline, event_type: str, *, low: datetime, high: datetime
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield the key of each open row with a date after ``low`` up to ``high``, and the values that decide about its event.

    The other values are read later, for the events that are recorded.
    """
    column = str(source.own[deadline.field].lookup)
    dates: dict[str, Any] = {f"{column}__gt": low, f"{column}__lte": high}
    if source.is_due_by_day:
        # The days that end between the two in any time zone: from 14 hours before to 12 after the day's end in UTC.
        days = (low.astimezone(UTC) - DAY).date(), high.astimezone(UTC).date()
        dates = {f"{column}__gte": days[0], f"{column}__lte": days[1]}
    rows = rows_of(source).filter(_with_subscribers(source, event_type), source._open_rows(), **dates)
    names = {"id", OWNER, LEARNER_ORGANIZATION.name, TIME_ZONE.name, "created_at", deadline.field, *source.inputs}
    for key, raw in read_rows(source, rows, names=names):
        values = source.canonical(raw)
        if low < values[deadline.field] <= high:
            yield key, values


def _with_subscribers(source: Source, event_type: str) -> Q:
    """Return a filter that leaves out rows of organizations without a subscription to this event type.

    It keeps all rows where the condition would need the organization tree, or SQL can't read to whom they belong.
    """
    subscriptions = subscriptions_to(event_type, using=database_of(source)).order_by()
    if is_everything_subscribed() or subscriptions.filter(webhook__include_children=True).exists():
        return Q()
    keys = {
        relation: subscriptions.exclude(webhook__audience=relation.closed_to).values("webhook__organization_id")
        for relation in RELATIONS
    }
    return in_organizations(source, keys) or Q()
