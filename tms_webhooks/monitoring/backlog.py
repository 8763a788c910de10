"""Read the backlog: open deliveries and new events, from indexes that hold nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from django.db.models import Count, Exists, Min, OuterRef, QuerySet

from tms_webhooks.choices import Priority
from tms_webhooks.db.lookups import key_in
from tms_webhooks.models import Delivery, Event, Webhook
from tms_webhooks.models.webhook import HEAVY_COLUMNS, ReceiverQuerySet

Q = TypeVar("Q", bound=QuerySet[Any])


class WebhookBacklog(NamedTuple):
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
    by_webhook: Mapping[int, WebhookBacklog], *, now: datetime, webhooks: ReceiverQuerySet | None = None
) -> Backlog:
    """Return the backlog of these webhooks, or of all; ``by_webhook`` is the result of `backlog_by_webhook` for them.

    The new events are those of their organizations: they are not matched with subscriptions yet.
    """
    due = [(since, pk) for pk, found in by_webhook.items() if (since := found.due_since) is not None]
    due_since, due_webhook = min(due, default=(None, None))
    events = Event.objects.to_fan_out().order_by()
    if webhooks is not None:
        events = events.filter(organization__in=webhooks.order_by().values("organization"))
    # Counted anyway: the first by key is found in the same read of the index.
    waiting = events.aggregate(count=Count("*"), first=Min("pk"))
    oldest = Event.objects.filter(pk=waiting["first"] or 0)
    return Backlog(
        deliveries=sum(found.deliveries for found in by_webhook.values()),
        in_flight=of_webhooks(Delivery.objects.maybe_in_flight(now), webhooks).count(),
        oldest_due_seconds=seconds_since(due_since, now),
        oldest_due_webhook=due_webhook,
        events=waiting["count"],
        oldest_event_seconds=seconds_since(oldest.values_list("occurred_at", flat=True).first(), now),
    )


def backlog_by_webhook(*, now: datetime, webhooks: ReceiverQuerySet | None = None) -> dict[int, WebhookBacklog]:
    """Return the open deliveries of each of these webhooks, or of all, by its key. Deleted webhooks are left out.

    Reads once the index of open deliveries, ``tms_delivery_claim``.
    """
    rows = of_webhooks(Delivery.objects.open(), webhooks).order_by().values("webhook", "priority")
    priorities = list(
        rows.annotate(count=Count("*"), first=Min("due_at")).values_list("webhook", "priority", "count", "first")
    )
    rows_of_webhooks = Webhook.objects.existing().filter(key_in({row[0] for row in priorities}))
    existing = {webhook.pk: webhook for webhook in rows_of_webhooks.select_related("state").defer(*HEAVY_COLUMNS)}
    unblocked = _first_unblocked((one.pk for one in existing.values() if one.ordered), now)
    found: dict[int, WebhookBacklog] = {}
    for pk, priority, count, first in priorities:
        webhook = existing.get(pk)
        if webhook is None:
            continue
        total, due = found.get(pk, WebhookBacklog(0, None))
        since = None
        if priority == Priority.MANUAL:
            since = first
        elif webhook.is_awake(now) and (since := unblocked.get(pk) if webhook.ordered else first):
            since = max([since, *filter(None, (webhook.state.paused_until, webhook.state.held_until))])
        if since is not None and since <= now:
            due = min(since, due or since)
        found[pk] = WebhookBacklog(total + count, due)
    return found


def of_webhooks(rows: Q, webhooks: ReceiverQuerySet | None) -> Q:
    """Return the rows of these webhooks; all rows for None."""
    return rows if webhooks is None else rows.filter(webhook__in=webhooks.order_by())


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
