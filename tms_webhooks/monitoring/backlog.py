"""Read the backlog: open deliveries and new events, from indexes that hold nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet

from tms_webhooks.choices import Priority
from tms_webhooks.db.lookups import key_in
from tms_webhooks.models import Delivery, Event, Webhook
from tms_webhooks.models.delivery import DeliveryQuerySet
from tms_webhooks.models.webhook import HEAVY_COLUMNS


@dataclass(frozen=True, slots=True)
class WebhookBacklog:
    """The open deliveries of one webhook.

    Attributes:
        deliveries: Number of open deliveries.
        due_since: Since when the first delivery that may be sent now is due, and its webhook neither paused nor held;
            None without one.
    """

    deliveries: int
    due_since: datetime | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """Open deliveries and new events.

    Attributes:
        deliveries: Number of open deliveries: pending, in flight, or waiting for a retry.
        in_flight: Number of due deliveries of webhooks that a worker holds: those in flight, and those that are next.
        oldest_due_seconds: Seconds since the first delivery that may be sent now became due; None without one. A delivery
            of a paused webhook, or one that waits for an earlier event of the same object, may not be sent. The time
            before the end of a pause does not count.
        oldest_due_webhook: Key of the webhook of that delivery.
        events: Number of events without deliveries yet.
        oldest_event_seconds: Age of the first of those events; None without one.
    """

    deliveries: int
    in_flight: int
    oldest_due_seconds: float | None
    oldest_due_webhook: int | None
    events: int
    oldest_event_seconds: float | None


def backlog(
    *,
    now: datetime,
    organization: Any = None,
    webhook: Webhook | None = None,
    by_webhook: Mapping[int, WebhookBacklog] | None = None,
) -> Backlog:
    """Return the backlog of all webhooks, of one organization (an object or its key), of several (a queryset), or of one
    webhook.

    For one webhook, the new events are those of its organization: they are not matched with subscriptions yet.
    ``by_webhook`` is the result of `backlog_by_webhook` for the same arguments, where the caller has it.
    """
    if by_webhook is None:
        by_webhook = backlog_by_webhook(now=now, organization=organization, webhook=webhook)
    due = [(since, pk) for pk, found in by_webhook.items() if (since := found.due_since) is not None]
    due_since, due_webhook = min(due, default=(None, None))
    owner = organization if webhook is None else webhook.organization_id
    events = Event.objects.to_fan_out().filter(belongs_to(owner))
    # Counted anyway: the first by key is found in the same read of the index.
    waiting = events.order_by().aggregate(count=Count("*"), first=Min("pk"))
    oldest = Event.objects.filter(pk=waiting["first"] or 0)
    return Backlog(
        deliveries=sum(found.deliveries for found in by_webhook.values()),
        in_flight=_of(organization, webhook).maybe_in_flight(now).count(),
        oldest_due_seconds=seconds_since(due_since, now),
        oldest_due_webhook=due_webhook,
        events=waiting["count"],
        oldest_event_seconds=seconds_since(oldest.values_list("occurred_at", flat=True).first(), now),
    )


def backlog_by_webhook(
    *, now: datetime, organization: Any = None, webhook: Webhook | None = None
) -> dict[int, WebhookBacklog]:
    """Return the open deliveries of each webhook that has any, by its key. Deleted webhooks are left out.

    Reads once the index of open deliveries, ``tms_delivery_claim``.
    """
    rows = _of(organization, webhook).open().order_by().values("webhook", "priority")
    priorities = list(
        rows.annotate(count=Count("*"), first=Min("due_at")).values_list("webhook", "priority", "count", "first")
    )
    rows_of_webhooks = Webhook.objects.existing().filter(key_in({row[0] for row in priorities}))
    webhooks = {webhook.pk: webhook for webhook in rows_of_webhooks.select_related("state").defer(*HEAVY_COLUMNS)}
    unblocked = _first_unblocked((one.pk for one in webhooks.values() if one.ordered), now)
    found: dict[int, WebhookBacklog] = {}
    for pk, priority, count, first in priorities:
        if pk not in webhooks:
            continue
        moments = [found[pk].due_since] if pk in found else []
        if priority == Priority.MANUAL:
            moments.append(first)
        elif webhooks[pk].is_awake(now):
            since = unblocked.get(pk) if webhooks[pk].ordered else first
            stops = (webhooks[pk].state.paused_until, webhooks[pk].state.held_until)
            moments.append(since and max([since, *filter(None, stops)]))
        due = [moment for moment in moments if moment is not None and moment <= now]
        total = count + (found[pk].deliveries if pk in found else 0)
        found[pk] = WebhookBacklog(total, min(due, default=None))
    return found


def belongs_to(organization: Any, *, path: str = "organization") -> Q:
    """Return a filter by organization: an object, its key, a queryset of several, or None for all."""
    if organization is None:
        return Q()
    if isinstance(organization, QuerySet):
        return Q(**{f"{path}__in": organization.order_by().values("pk")})
    return Q(**{path: organization})


def _of(organization: Any, webhook: Webhook | None) -> DeliveryQuerySet:
    if webhook is not None:
        return Delivery.objects.filter(webhook=webhook)
    return Delivery.objects.filter(belongs_to(organization, path="webhook__organization"))


def _first_unblocked(ids: Iterable[int], now: datetime) -> dict[int, datetime]:
    """Return when the first delivery that waits for no earlier event became due, for each of these ordered webhooks."""
    chosen = list(ids)
    if not chosen:
        return {}
    earlier = Delivery.objects.open().filter(
        webhook=OuterRef("webhook"), order_key=OuterRef("order_key"), event__lt=OuterRef("event")
    )
    due = Delivery.objects.due(now).filter(~Exists(earlier), webhook__in=chosen).exclude(priority=Priority.MANUAL)
    return dict(due.order_by().values("webhook").annotate(first=Min("due_at")).values_list("webhook", "first"))


def seconds_since(moment: datetime | None, now: datetime) -> float | None:
    """Return the seconds since a time, at least 0; None without a time."""
    return None if moment is None else max(0.0, (now - moment).total_seconds())
