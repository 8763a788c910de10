"""What the host does when something happens to a webhook."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.dispatch import receiver

from tms_webhooks.models import Event, Webhook
from tms_webhooks.signals import event_recorded, webhook_disabled

log: list[str] = []
"""A line for each signal."""


@receiver(event_recorded)
def count(event: Event, **_kwargs: Any) -> None:
    """Note the type of a recorded event."""
    log.append(f"{event.type} of {event.organization_id}")


@receiver(webhook_disabled)
def note(webhook: Webhook, reason: str, now: datetime, **_kwargs: Any) -> None:
    """Note a disabled webhook with its reason and its failures."""
    log.append(f"{webhook.name}: {reason} at {now:%H:%M}, {webhook.deliveries.count()} deliveries")
