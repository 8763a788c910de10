"""When a delivery is attempted next, and when it is given up.

The API and the admin show these times; the workers (`tms_webhooks.worker.endpoint_queues`) follow the same rules. Pure
functions of a delivery and its webhook, which must be loaded with it, with its state.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from tms_webhooks.choices import DeliveryStatus, Priority
from tms_webhooks.conf import app_settings
from tms_webhooks.models import Delivery


def expires_at(delivery: Delivery) -> datetime | None:
    """Return when a delivery is given up at the latest, DELIVERY_LIFETIME_SECONDS after it was created or reopened.

    None for a finished one.
    """
    if delivery.due_at is None:
        return None
    return (delivery.reopened_at or delivery.created_at) + timedelta(seconds=app_settings.DELIVERY_LIFETIME_SECONDS)


def next_attempt_at(delivery: Delivery, *, now: datetime) -> datetime | None:
    """Return when a delivery is attempted next, at the earliest; in the past if it waits for a worker already.

    A pause and a hold of the webhook are included. A rate limit, earlier deliveries of the same object and the requests
    in flight may delay it further.

    None if no attempt follows: the delivery is finished, its webhook is deleted, disabled or pull-only, or it is given up
    before.
    """
    due_at, webhook = delivery.due_at, delivery.webhook
    if due_at is None or webhook.deleted_at is not None or webhook.pull_only:
        return None
    at = due_at
    if delivery.priority != Priority.MANUAL:
        if not webhook.enabled:
            return None
        # A pause does not stop retries.
        paused_until = None if delivery.status == DeliveryStatus.WAITING else webhook.state.paused_until
        blocked = (webhook.state.held_until, paused_until)
        at = max([due_at, *(until for until in blocked if until is not None and until > now)])
    expires = expires_at(delivery)
    return None if expires is not None and max(at, now) >= expires else at
