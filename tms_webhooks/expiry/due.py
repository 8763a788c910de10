"""What a scan has to tell: rows near their date or past it, less what was told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from django.db import models
from django.db.models import Q

from tms_webhooks.expiry import windows
from tms_webhooks.models import Occurrence, Subscription
from tms_webhooks.models.audience import LEARNER, OWNER, EventOrganizations, SubscriberScope, ancestors, parent_column
from tms_webhooks.models.event import subject_key
from tms_webhooks.outbox.subscribed import organizations_of
from tms_webhooks.sources.base import LEARNER_ORGANIZATION, PlannedEvent, Source
from tms_webhooks.sources.deadlines import Deadline, as_moment, expired_key, expiring_key
from tms_webhooks.sources.row_sets import database_of, rows_of
from tms_webhooks.sources.snapshots import read_rows


@dataclass(frozen=True, slots=True)
class DueEvent:
    """One event that is to be told of the row ``key``, if its date is still ``at``."""

    key: Any
    at: datetime
    told: PlannedEvent
    subscription_id: int | None = None


@dataclass(frozen=True, slots=True)
class ExpiringSubscription:
    """A subscription to expiring events: its window, and since when nobody has looked for it."""

    subscription_id: int
    listener: SubscriberScope
    window: tuple[float, float]
    since: datetime
    reach: windows.Range


def watch(subscription: Subscription, *, since: datetime, now: datetime) -> ExpiringSubscription:
    """Return what to look for at ``now`` for one subscription, of whose window somebody looked last at ``since``."""
    return ExpiringSubscription(
        subscription.pk,
        subscription.webhook.scope,
        subscription.window,
        since,
        windows.reach(subscription.window, since=since, now=now),
    )


def expired(source: Source, deadline: Deadline, *, since: datetime, now: datetime) -> Iterator[DueEvent]:
    """Yield what has passed its date since then, of organizations that want to know."""
    using = database_of(source)
    if not wanting(deadline.expired, using=using).exists():
        return
    told = Occurrence.objects.keys_between(since, now, using=using)
    for key, raw in _read_briefly(source, deadline, deadline.expired, low=since, high=now):
        at = raw[deadline.field]
        once = expired_key(deadline.expired, subject_key(raw["id"]), at)
        if once not in told:
            yield DueEvent(key, at, PlannedEvent(deadline.expired, once=once, deadline=at))


def expiring(
    source: Source, deadline: Deadline, watches: list[ExpiringSubscription], *, now: datetime
) -> Iterator[DueEvent]:
    """Yield what entered the windows of subscriptions; the rows are read once for all of them."""
    for low, high in windows.union(one.reach for one in watches):
        told = Occurrence.objects.keys_between(low, high, using=database_of(source))
        rows = list(_read_briefly(source, deadline, deadline.expiring, low=low, high=high))
        homes = [organizations_of(raw) for _key, raw in rows]
        watching = _watching({home for home in homes if home is not None}, watches, using=database_of(source))
        for (key, raw), home in zip(rows, homes, strict=True):
            for one in watching.get(home, ()):
                event = _entered(one, deadline, raw, told, now=now)
                if event is not None:
                    yield DueEvent(key, raw[deadline.field], event, one.subscription_id)


def _watching(
    homes: Collection[EventOrganizations], watches: list[ExpiringSubscription], *, using: str
) -> dict[EventOrganizations | None, list[ExpiringSubscription]]:
    """Return the subscriptions to whom what is at home in each of these places comes."""
    by_organization: dict[Any, list[ExpiringSubscription]] = defaultdict(list)
    for one in watches:
        by_organization[one.listener.organization_id].append(one)
    wide = any(one.listener.include_children for one in watches)
    lines = ancestors({key for home in homes for key in home.keys}, using=using) if wide else {}
    found: dict[EventOrganizations | None, list[ExpiringSubscription]] = {}
    for home in homes:
        near = home.keys.union(*(lines.get(key, ()) for key in home.keys))
        found[home] = [one for key in near for one in by_organization.get(key, ()) if one.listener.matches(home, lines)]
    return found


def wanting(event_type: str, *, using: str) -> models.QuerySet[Subscription]:
    """Return the subscriptions that want an event."""
    return Subscription.objects.using(using).matching([event_type])


def _entered(
    watched: ExpiringSubscription, deadline: Deadline, raw: Mapping[str, Any], told: set[str], *, now: datetime
) -> PlannedEvent | None:
    at = raw[deadline.field]
    low, high = watched.reach
    if not low < at < high:
        return None
    once = expiring_key(deadline.expiring, watched.subscription_id, watched.window, subject_key(raw["id"]), at)
    if once in told:
        return None
    created_at = raw.get("created_at")
    known = created_at if isinstance(created_at, datetime) else None
    if not windows.was_inside(at, watched.window, since=watched.since, now=now, created_at=known):
        return None
    more, less = watched.window
    days = {
        "days_left": windows.days_left(at, now=now),
        "window.more_than_days": more,
        "window.less_than_days": less,
    }
    return PlannedEvent(deadline.expiring, once=once, deadline=at, extra=days)


def _read_briefly(
    source: Source, deadline: Deadline, event_type: str, *, low: datetime, high: datetime
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Read what decides whether an event is due, of open rows from after ``low`` to ``high`` of those who want to know.

    The rest is read of those that are told.
    """
    rows = rows_of(source).filter(
        _audible(source, event_type), source.open_rows(), **_between(source, deadline, low, high)
    )
    names = {"id", "organization.id", LEARNER_ORGANIZATION.name, "created_at", deadline.field}
    for key, raw in read_rows(source, rows, names=names):
        raw.update({name: as_moment(raw[name]) for name in ("created_at", deadline.field) if name in raw})
        source.add_learner_organization(raw)
        yield key, raw


def _audible(source: Source, event_type: str) -> Q:
    """Return a filter that leaves out rows of which nobody hears, where that is simple to say."""
    subscriptions = wanting(event_type, using=database_of(source)).order_by()
    learner = source.mapped.get(LEARNER_ORGANIZATION.name)
    followed = learner is None or learner.lookup is not None
    wide = subscriptions.filter(webhook__include_children=True) if parent_column() is not None else None
    if not followed or (wide is not None and wide.exists()):
        return Q()
    organizations = subscriptions.values("webhook__organization_id")
    owner = f"{source.mapped['organization.id'].lookup}__in"
    if source.owned_by_learner:
        return Q(**{owner: organizations})
    rows = Q(**{owner: organizations.exclude(webhook__audience=OWNER.closed_to)})
    if learner is not None:
        rows |= Q(**{f"{learner.lookup}__in": organizations.exclude(webhook__audience=LEARNER.closed_to)})
    return rows


def _between(source: Source, deadline: Deadline, low: datetime, high: datetime) -> dict[str, Any]:
    column = str(source.own[deadline.field].lookup)
    field = source.model._meta.get_field(column)
    first, last = (low, high) if isinstance(field, models.DateTimeField) else (_day(low), _day(high))
    return {f"{column}__gt": first, f"{column}__lte": last}


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()
