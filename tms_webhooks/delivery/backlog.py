"""What waits, and since when: read from the indexes of what is open, however long the history is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, Min, OuterRef, Q, QuerySet

from tms_webhooks.choices import DeliveryStatus, Priority
from tms_webhooks.db.lookups import key_in
from tms_webhooks.models import Delivery, Event, Webhook
from tms_webhooks.models.delivery import DeliveryQuerySet


@dataclass(frozen=True, slots=True)
class Waiting:
    """What waits for one webhook: how many deliveries, and since when the first that may be sent has been due."""

    deliveries: int
    due_since: datetime | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits.

    Attributes:
        deliveries: Those that are open: not tried yet, waiting for a retry, or under way.
        in_flight: Those of them that a worker holds.
        oldest_due_seconds: For how long the first of those that may be sent now has been due; None if none is. What
            waits for a webhook that is paused, or for an earlier event of the same object, may not be sent.
        oldest_due_webhook: Whose that is.
        events: Those that have no deliveries yet.
        oldest_event_seconds: For how long the first of those has waited; None if there is none.
    """

    deliveries: int
    in_flight: int
    oldest_due_seconds: float | None
    oldest_due_webhook: int | None
    events: int
    oldest_event_seconds: float | None


def backlog(*, now: datetime, organization: Any = None, webhook: Webhook | None = None) -> Backlog:
    """Return what waits: of all, of one organization (an object or its key) or several (a
    queryset), or for one webhook.

    New events are counted for the organization as a whole: which webhooks want them is not known yet.
    """
    return summed_up(
        waiting(now=now, organization=organization, webhook=webhook),
        now=now,
        organization=organization,
        webhook=webhook,
    )


def summed_up(
    by_webhook: Mapping[int, Waiting], *, now: datetime, organization: Any = None, webhook: Webhook | None = None
) -> Backlog:
    """Return the backlog, given what `waiting` has found for the same arguments."""
    due = [(since, pk) for pk, found in by_webhook.items() if (since := found.due_since) is not None]
    due_since, due_webhook = min(due, default=(None, None))
    owner = organization if webhook is None else webhook.organization_id
    events = Event.objects.to_fan_out().filter(owned(owner))
    held = _of(organization, webhook).filter(status=DeliveryStatus.IN_FLIGHT)
    return Backlog(
        deliveries=sum(found.deliveries for found in by_webhook.values()),
        in_flight=held.count(),
        oldest_due_seconds=_age(due_since, now),
        oldest_due_webhook=due_webhook,
        events=events.count(),
        oldest_event_seconds=_age(events.values_list("occurred_at", flat=True).first(), now),
    )


def waiting(*, now: datetime, organization: Any = None, webhook: Webhook | None = None) -> dict[int, Waiting]:
    """Return what waits for each webhook that anything waits for. Deleted ones are left out.

    Costs one pass over the index of what is open, ``tms_delivery_claim``.
    """
    rows = _of(organization, webhook).open().order_by().values("webhook", "priority")
    priorities = list(
        rows.annotate(count=Count("*"), first=Min("due_at")).values_list("webhook", "priority", "count", "first")
    )
    webhooks = _webhooks({row[0] for row in priorities})
    in_turn = _first_in_turn((one.pk for one in webhooks.values() if one.ordered), now)
    found: dict[int, Waiting] = {}
    for pk, priority, count, first in priorities:
        if pk not in webhooks:
            continue
        moments = [found[pk].due_since] if pk in found else []
        if priority == Priority.MANUAL:
            moments.append(first)
        elif webhooks[pk].is_awake(now):
            moments.append(in_turn.get(pk) if webhooks[pk].ordered else first)
        due = [moment for moment in moments if moment is not None and moment <= now]
        total = count + (found[pk].deliveries if pk in found else 0)
        found[pk] = Waiting(total, min(due, default=None))
    return found


def owned(organization: Any, *, path: str = "organization") -> Q:
    """Return a filter for what belongs to an organization: an object, its key, a queryset of several, or None for all."""
    if organization is None:
        return Q()
    if isinstance(organization, QuerySet):
        return Q(**{f"{path}__in": organization.order_by().values("pk")})
    return Q(**{path: organization})


def _of(organization: Any, webhook: Webhook | None) -> DeliveryQuerySet:
    if webhook is not None:
        return Delivery.objects.filter(webhook=webhook)
    return Delivery.objects.filter(owned(organization, path="webhook__organization"))


def _webhooks(ids: Iterable[int]) -> dict[int, Webhook]:
    rows = Webhook.objects.existing()
    chosen = rows.filter(key_in(ids))
    return {webhook.pk: webhook for webhook in chosen.only("enabled", "deleted_at", "paused_until", "ordered")}


def _first_in_turn(ids: Iterable[int], now: datetime) -> dict[int, datetime]:
    """Return, for each of these ordered webhooks, since when the first is due that waits for no earlier one."""
    chosen = list(ids)
    if not chosen:
        return {}
    earlier = Delivery.objects.open().filter(
        webhook=OuterRef("webhook"), order_key=OuterRef("order_key"), event__lt=OuterRef("event")
    )
    due = Delivery.objects.due(now).filter(~Exists(earlier), webhook__in=chosen).exclude(priority=Priority.MANUAL)
    return dict(due.order_by().values("webhook").annotate(first=Min("due_at")).values_list("webhook", "first"))


def _age(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else max(0.0, (now - moment).total_seconds())
