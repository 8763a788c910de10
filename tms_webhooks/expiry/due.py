"""Find due events: rows whose date is near or past, without those whose event was recorded before.

All rows are read with the ORM, by a range of the host's date column.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import Q

from tms_webhooks.catalogue.values import days_left
from tms_webhooks.choices import Audience
from tms_webhooks.conf import app_settings
from tms_webhooks.expiry import windows
from tms_webhooks.models import Occurrence, Subscription
from tms_webhooks.models.audience import LEARNER, OWNER, EventOrganizations, SubscriberScope, ancestors, parent_column
from tms_webhooks.models.event import subject_key
from tms_webhooks.models.subscription import DEFAULT_WINDOW
from tms_webhooks.outbox.subscribed import organizations_of
from tms_webhooks.sources.base import LEARNER_ORGANIZATION, TIME_ZONE, Source
from tms_webhooks.sources.base import OWNER as OWNER_ID
from tms_webhooks.sources.deadlines import (
    DAY,
    Deadline,
    DueDate,
    as_moment,
    end_of_day,
    expiring_key,
    is_day,
)
from tms_webhooks.sources.interest import is_everything_subscribed
from tms_webhooks.sources.row_sets import database_of, rows_of
from tms_webhooks.sources.rules import PlannedEvent
from tms_webhooks.sources.snapshots import read_rows

# The greatest distance between two moments with the same calendar date: a day, and 26 hours if the organization moved
# to another time zone.
NEIGHBORS = 3 * DAY


@dataclass(frozen=True, slots=True)
class DueEvent:
    """An event to record for the row ``key``, if the row's date is still ``at``."""

    key: Any
    at: datetime
    planned: PlannedEvent
    subscription_id: int | None = None


@dataclass(frozen=True, slots=True)
class ExpiringSubscription:
    """A subscription to expiring events.

    Attributes:
        subscription_id: Its key; 0 where tests capture events without a subscription.
        scope: The scope of its webhook.
        window: (more than, less than) in days before the date.
        since: Time of the last scan for this subscription.
        reach: The dates to read: of the rows that were in the window at any moment since then.
    """

    subscription_id: int
    scope: SubscriberScope
    window: tuple[float, float]
    since: datetime
    reach: windows.Range


def expiring_subscription(subscription: Subscription, *, since: datetime, now: datetime) -> ExpiringSubscription:
    """Return what a scan at ``now`` needs to know of a subscription whose last scan was at ``since``."""
    return ExpiringSubscription(
        subscription.pk,
        subscription.webhook.scope,
        subscription.window,
        since,
        windows.reach(subscription.window, since=since, now=now),
    )


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
    captured: list[ExpiringSubscription] = []
    if is_everything_subscribed():
        # While tests capture all events, this stands for the subscription of an organization without one.
        scope = SubscriberScope(None, Audience.BOTH, include_children=False)
        reach = windows.reach(DEFAULT_WINDOW, since=now, now=now)
        captured.append(ExpiringSubscription(0, scope, DEFAULT_WINDOW, now, reach))
    for low, high in windows.union(one.reach for one in [*subscriptions, *captured]):
        rows = list(_read_due_rows(source, deadline, deadline.expiring, low=low, high=high))
        # After the rows: an event of a row's date before an edit was recorded before the edit.
        recorded = Occurrence.objects.moments_between(low - NEIGHBORS, high + NEIGHBORS, using=database_of(source))
        organizations = [organizations_of(raw) for _key, raw in rows]
        matching = _matching_scope(
            {one for one in organizations if one is not None}, subscriptions, using=database_of(source)
        )
        for (key, raw), one in zip(rows, organizations, strict=True):
            due = DueDate(raw[deadline.field], source.zone_of(raw))
            for subscription in matching.get(one) or captured:
                event = _entered_window(subscription, deadline, raw, due, recorded, now=now)
                if event is not None:
                    yield DueEvent(key, due.at, event, subscription.subscription_id or None)


def _matching_scope(
    organizations: Collection[EventOrganizations], subscriptions: list[ExpiringSubscription], *, using: str
) -> dict[EventOrganizations | None, list[ExpiringSubscription]]:
    """Return, for each pair of organizations, the subscriptions whose scope includes an event of theirs."""
    by_organization: dict[Any, list[ExpiringSubscription]] = defaultdict(list)
    for one in subscriptions:
        by_organization[one.scope.organization_id].append(one)
    with_children = any(one.scope.include_children for one in subscriptions)
    keys = {key for pair in organizations for key in pair.keys}
    parents = ancestors(keys, using=using) if with_children else {}
    found: dict[EventOrganizations | None, list[ExpiringSubscription]] = {}
    for pair in organizations:
        reached = pair.keys.union(*(parents.get(key, ()) for key in pair.keys))
        found[pair] = [
            one for key in reached for one in by_organization.get(key, ()) if one.scope.matches(pair, parents)
        ]
    return found


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
    low, high = subscription.reach
    if not low < due.at < high:
        return None
    subject_id = subject_key(raw["id"])
    if due.was_recorded(subscription.subscription_id, deadline.expiring, subject_id, recorded):
        return None
    created_at = raw["created_at"] if isinstance(raw["created_at"], datetime) else None
    window, since = subscription.window, subscription.since
    if not windows.was_inside(due.at, window, since=since, now=now, created_at=created_at):
        return None
    # Until the second scan after its time an event is not late.
    tolerance = 2 * timedelta(minutes=app_settings.EXPIRY_MINUTES)
    late = windows.is_late(due.at, window, since=since, now=now, created_at=created_at, tolerance=tolerance)
    more, less = window
    extra = {
        "days_left": days_left(due.at, now=now),
        "late": late,
        "window.more_than_days": more,
        "window.less_than_days": less,
    }
    once = expiring_key(deadline.expiring, subscription.subscription_id, subject_id, due.day)
    return PlannedEvent(deadline.expiring, once=once, deadline=due.at, extra=extra)


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
    names = {"id", OWNER_ID, LEARNER_ORGANIZATION.name, TIME_ZONE.name, "created_at", deadline.field, *source.inputs}
    for key, raw in read_rows(source, rows, names=names):
        source.add_computed(raw)
        if is_day(raw[deadline.field]):
            raw[deadline.field] = end_of_day(raw[deadline.field], source.zone_of(raw))
            if not low < raw[deadline.field] <= high:
                continue
        raw["created_at"] = as_moment(raw.get("created_at"))
        source.add_learner_organization(raw)
        yield key, raw


def _with_subscribers(source: Source, event_type: str) -> Q:
    """Return a filter that leaves out rows of organizations without a subscription to this event type.

    It keeps all rows where the condition would need the organization tree, or learners that no lookup leads to.
    """
    if is_everything_subscribed():
        return Q()
    subscriptions = subscriptions_to(event_type, using=database_of(source)).order_by()
    learner = source.mapped.get(LEARNER_ORGANIZATION.name)
    owned_by = source.mapped.get(OWNER_ID)
    has_learner_lookup = learner.lookup is not None if learner is not None else not source.has_learner
    with_children = subscriptions.filter(webhook__include_children=True) if parent_column() is not None else None
    if owned_by is None or owned_by.lookup is None or not has_learner_lookup:
        return Q()
    if with_children is not None and with_children.exists():
        return Q()
    organizations = subscriptions.values("webhook__organization_id")
    owner = f"{owned_by.lookup}__in"
    if source.owned_by_learner:
        return Q(**{owner: organizations})
    rows = Q(**{owner: organizations.exclude(webhook__audience=OWNER.closed_to)})
    if learner is not None:
        rows |= Q(**{f"{learner.lookup}__in": organizations.exclude(webhook__audience=LEARNER.closed_to)})
    return rows
