"""Find the problems that need an operator now although drains run: nothing leaves, for all webhooks or for some."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Count, Q

from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery.outcome import OUTAGE_REMEDY
from tms_webhooks.models import Delivery, DrainSlot


def urgent_reasons(*, now: datetime) -> Iterator[str]:
    """Yield what is wrong, with the remedy."""
    if unsent := unsent_by_webhook(now=now):
        names = ", ".join(map(str, sorted(unsent)))
        yield f"Deliveries that a worker holds and does not send: {sum(unsent.values())} (webhooks: {names}). Restart it."

    for slot in DrainSlot.objects.cut_off(now).order_by("number"):
        yield f"The drain of slot {slot.number} has reached no receiver since {slot.unreachable_since}. {OUTAGE_REMEDY}"


def unsent_by_webhook(*, now: datetime) -> dict[int, int]:
    """Return the number of deliveries that a worker holds and does not send, by the key of their webhook.

    For two leases, nothing of the webhook was claimed, delivered or failed. An attempt takes less time.
    """
    since = now - timedelta(seconds=2 * app_settings.LEASE)
    held = Delivery.objects.filter(status=DeliveryStatus.IN_FLIGHT, due_at__gt=now, created_at__lte=since)
    unsent = held.filter(webhook__served_at__lte=since).exclude(
        Q(webhook__succeeded_at__gt=since) | Q(webhook__failed_at__gt=since)
    )
    return dict(unsent.order_by().values("webhook").annotate(count=Count("*")).values_list("webhook", "count"))
