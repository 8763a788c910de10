"""Finish deliveries that no worker finishes. Run regularly; an interrupted run is continued by the next one."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from django.db import router, transaction
from django.db.models import Exists, OuterRef, Q

from tms_webhooks import signals
from tms_webhooks.choices import DeliveryStatus, Priority
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery import notifications
from tms_webhooks.models import Delivery, Event, Webhook

# Deliveries that one transaction gives up.
BATCH = 200

logger = logging.getLogger(__name__)


def settle(now: datetime) -> int:
    """Skip the open deliveries of disabled webhooks, and cancel those of deleted webhooks; return their number.

    Such deliveries exist if they were created, or held by a worker that was killed, while the webhook was disabled or
    deleted. A delivery that a user resends to a disabled webhook is left open.
    """
    still_open = Delivery.objects.open().filter(webhook=OuterRef("pk"))
    disabled = Q(Exists(still_open.exclude(priority=Priority.MANUAL)), enabled=False)
    deleted = Q(Exists(still_open), deleted_at__isnull=False)
    settled = sum(_settle_one(webhook, now) for webhook in Webhook.objects.filter(disabled | deleted))
    if settled:
        logger.info("settled deliveries=%s", settled)
    return settled


def give_up_old(now: datetime) -> int:
    """Give up due deliveries that are older than DELIVERY_LIFETIME, such as those of a paused webhook; return their number."""
    total = 0
    while given_up := _give_up_batch(now):
        total += given_up
    return total


def _settle_one(webhook: Webhook, now: datetime) -> int:
    rows = Delivery.objects.filter(webhook=webhook)
    with transaction.atomic(using=router.db_for_write(Delivery)):
        Webhook.objects.lock([webhook.pk])
        rows.release_expired(now=now)
        return rows.skip(now=now) if webhook.deleted_at is None else rows.cancel(now=now)


def _give_up_batch(now: datetime) -> int:
    # Only due deliveries are read, by an index on ``due_at``. One that is due later is found then.
    due = Delivery.objects.due(now).exclude(status=DeliveryStatus.IN_FLIGHT)
    old = due.opened_before(now - timedelta(seconds=app_settings.DELIVERY_LIFETIME))
    message = f"not delivered within {timedelta(seconds=app_settings.DELIVERY_LIFETIME)}"
    found = dict(old.order_by("due_at").values_list("pk", "webhook_id")[:BATCH])
    if not found:
        return 0
    with transaction.atomic(using=router.db_for_write(Delivery)):
        # The lock order: webhooks before deliveries. An error action may disable these webhooks.
        Webhook.objects.lock(found.values())
        locked = old.among(found).order_by("due_at").select_for_update(skip_locked=True)
        rows = list(locked.values_list("pk", "webhook_id", "event_id"))
        Delivery.objects.among(pk for pk, _webhook_id, _event_id in rows).exhaust(now=now)
        events = Event.objects.only("uid").in_bulk({event_id for _pk, _webhook_id, event_id in rows})
        given_up = [
            notifications.GivenUpDelivery(pk, webhook_id, events[event_id].public_id, message)
            for pk, webhook_id, event_id in rows
            if event_id in events
        ]
        notifications.notify_given_up(given_up, now=now)
    for one in given_up:
        signals.delivery_finished.send_robust(
            Delivery,
            delivery_id=one.delivery_id,
            event_id=one.event_id,
            webhook_id=one.webhook_id,
            status=DeliveryStatus.EXHAUSTED.value,
        )
    return len(rows)
