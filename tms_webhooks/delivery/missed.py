"""What a webhook missed: what was skipped while it was disabled, and what it asks for today and never got."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet

from tms_webhooks import event_names
from tms_webhooks.choices import DeliveryStatus, Lane
from tms_webhooks.models import Delivery, Event, Webhook
from tms_webhooks.models.audience import comes_to
from tms_webhooks.models.keys import among
from tms_webhooks.routing import narrowed

AT_ONCE = 500
LOOKED_INTO = 10_000
"""Most events that are looked into to count what filters let pass; what is beyond them is counted as if it did."""


def missed(events: QuerySet[Event], webhook: Webhook, *, since: datetime) -> QuerySet[Event]:
    """Keep the events that a webhook missed.

    Of subscriptions with filters these are all that they might want: `wanted_of` tells which they do.
    """
    own = Delivery.objects.filter(webhook=webhook, event=OuterRef("pk"))
    asked = Q(pk__in=())
    for pk, pattern in webhook.subscriptions.values_list("pk", "event_type"):
        of_this = Q(subscription__isnull=True) | Q(subscription=pk)
        asked |= of_this & Q(type__in=event_names.matching(pattern))
    # Nobody is told of what concerns themselves.
    about_itself = Q(type__startswith=event_names.OPERATIONAL, subject_id=str(webhook.pk))
    new = asked & ~about_itself & Q(occurred_at__gte=since, fanned_out_at__isnull=False) & ~Exists(own)
    return events.filter(comes_to(webhook.listener, using=events.db), Q(_was_skipped(own)) | new)


def count(events: QuerySet[Event], webhook: Webhook) -> int:
    """Return how many of these events, which `missed` has found, a replay sends."""
    if not any(subscription.is_narrowed for subscription in webhook.subscriptions.all()):
        return events.count()
    own = Delivery.objects.filter(webhook=webhook, event=OuterRef("pk"))
    new = events.filter(~_was_skipped(own)).order_by("pk").values_list("pk", flat=True)
    known = list(new[:LOOKED_INTO])
    kept = sum(len(some) for some in _in_turn(webhook, known))
    return events.count() - len(known) + kept


def deliver(webhook: Webhook, event_ids: Sequence[int], *, now: datetime) -> None:
    """Make due again what was skipped of these events, and make the deliveries of those that are wanted and had none."""
    rows = Delivery.objects.filter(webhook=webhook, event__in=event_ids)
    rows.filter(status=DeliveryStatus.SKIPPED).reopen(now=now, lane=Lane.REPLAY)
    own = Delivery.objects.filter(webhook=webhook, event=OuterRef("pk"))
    new = dict(Event.objects.filter(~Exists(own), among(event_ids)).order_by("pk").values_list("pk", "subject_key"))
    Delivery.objects.bulk_create(
        [
            Delivery(
                event_id=pk,
                webhook=webhook,
                lane=Lane.REPLAY,
                order_key=new[pk] if webhook.ordered else None,
                due_at=now,
                created_at=now,
            )
            for pk in narrowed.wanted_of(webhook, list(new))
        ],
        ignore_conflicts=True,
    )


def _was_skipped(own: QuerySet[Delivery]) -> Exists:
    return Exists(own.filter(status=DeliveryStatus.SKIPPED))


def _in_turn(webhook: Webhook, event_ids: Sequence[int]) -> Iterator[Collection[int]]:
    """Yield which of these events are wanted, some at a time, and change nothing."""
    firsts = narrowed.Foreseen()
    for start in range(0, len(event_ids), AT_ONCE):
        yield narrowed.wanted_of(webhook, event_ids[start : start + AT_ONCE], firsts=firsts)
