"""Finish deliveries that no worker finishes, in short transactions outside of the drain.

Run regularly; an interrupted run is continued by the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from django.db import InterfaceError, OperationalError, router, transaction
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Coalesce

from tms_webhooks import signals
from tms_webhooks.batches import Batches
from tms_webhooks.choices import DeliveryStatus, Priority
from tms_webhooks.conf import app_settings
from tms_webhooks.db.sql import log_refusal
from tms_webhooks.delivery import lifecycle
from tms_webhooks.models import Delivery, Event, Webhook, WebhookState

# Deliveries that one transaction skips or cancels, and that one read looks at.
BATCH = 1_000
# Deliveries that one transaction gives up. Each may emit an event.
GIVE_UP_BATCH = 200

logger = logging.getLogger(__name__)


def settling(now: datetime) -> dict[str, Batches]:
    """Return the work for each disabled, pull-only or deleted webhook that has open deliveries: to skip or cancel these.

    A delivery that a user resends to a disabled webhook is left open. Before each batch the webhook is locked and read again. Once a user has enabled it, the work ends: skipped
    deliveries stay skipped, and the others are sent.
    """
    still_open = Delivery.objects.open().filter(webhook=OuterRef("pk"))
    disabled = Q(Exists(still_open.exclude(priority=Priority.MANUAL)), Q(enabled=False) | Q(pull_only=True))
    deleted = Q(Exists(still_open), deleted_at__isnull=False)
    keys = Webhook.objects.filter(disabled | deleted).order_by("pk").values_list("pk", flat=True)
    return {f"webhook {pk}": _settle_one(pk, now) for pk in keys}


def giving_up(now: datetime) -> Batches:
    """Return the work to give up due deliveries that are older than DELIVERY_LIFETIME_SECONDS, such as those of a paused webhook.

    It reads the index of due deliveries once. One that is due later is found then.
    """
    limit = now - timedelta(seconds=app_settings.DELIVERY_LIFETIME_SECONDS)
    due = Delivery.objects.due(now).order_by("due_at", "pk")
    after = Q()
    while found := list(
        due.filter(after).values_list("due_at", "pk", "webhook_id", Coalesce("reopened_at", "created_at"))[:BATCH]
    ):
        last_due_at, last_key, *_others = found[-1]
        # The first condition is implied by the second; databases use the index for it.
        after = Q(due_at__gte=last_due_at) & (Q(due_at__gt=last_due_at) | Q(pk__gt=last_key))
        old = [(pk, webhook_id) for _due_at, pk, webhook_id, opened_at in found if opened_at < limit]
        if not old:
            yield 0
        for start in range(0, len(old), GIVE_UP_BATCH):
            yield _give_up_batch(dict(old[start : start + GIVE_UP_BATCH]), limit, now)
        if len(found) < BATCH:
            return


def _settle_one(webhook_id: int, now: datetime) -> Batches:
    try:
        while settled := _settle_batch(webhook_id, now):
            logger.info("settled webhook=%s deliveries=%s", webhook_id, settled)
            yield settled
    except (OperationalError, InterfaceError) as error:
        # Such as a deadlock. It must not stop the work for other webhooks.
        log_refusal(logger, error, "The database refused to settle webhook=%s; the next run continues.", webhook_id)


def _settle_batch(webhook_id: int, now: datetime) -> int:
    rows = Delivery.objects.filter(webhook=webhook_id)
    with transaction.atomic(using=router.db_for_write(Delivery)):
        # Locked, so that a user does not enable it before the end of the transaction.
        Webhook.objects.lock([webhook_id], with_state=True)
        webhook = Webhook.objects.get(pk=webhook_id)
        is_deleted = webhook.deleted_at is not None
        if webhook.enabled and not webhook.pull_only and not is_deleted:
            return 0
        if WebhookState.objects.filter(pk=webhook_id, leased_until__gt=now).exists():
            # Requests to it may be in flight. The worker gives it back soon, and has the rest settled.
            return 0
        still_open = rows.open().order_by("priority", "due_at")
        if not is_deleted:
            still_open = still_open.filter(priority__gt=Priority.MANUAL)
        batch = Delivery.objects.among(list(still_open.values_list("pk", flat=True)[:BATCH]))
        return batch.finish(DeliveryStatus.CANCELLED if is_deleted else DeliveryStatus.SKIPPED, now=now)


def _give_up_batch(found: Mapping[int, int], limit: datetime, now: datetime) -> int:
    """Give up these deliveries, the values of which are their webhooks, as far as they still wait; return how many."""
    old = Delivery.objects.due(now).opened_before(limit)
    message = f"not delivered within {timedelta(seconds=app_settings.DELIVERY_LIFETIME_SECONDS)}"
    with transaction.atomic(using=router.db_for_write(Delivery)):
        # An error action may disable these webhooks.
        Webhook.objects.lock(found.values(), with_state=True)
        locked = old.among(found).order_by("due_at").select_for_update(skip_locked=True)
        rows = list(locked.values_list("pk", "webhook_id", "event_id"))
        Delivery.objects.among(pk for pk, _webhook_id, _event_id in rows).finish(DeliveryStatus.EXHAUSTED, now=now)
        events = Event.objects.only("uid").in_bulk({event_id for _pk, _webhook_id, event_id in rows})
        given_up = [
            lifecycle.GivenUpDelivery(pk, webhook_id, events[event_id].public_id, message)
            for pk, webhook_id, event_id in rows
            if event_id in events
        ]
        lifecycle.apply(given_up, now=now)
    for one in given_up:
        signals.delivery_finished.send_robust(
            Delivery,
            delivery_id=one.delivery_id,
            event_id=one.event_id,
            webhook_id=one.webhook_id,
            status=DeliveryStatus.EXHAUSTED.value,
        )
    return len(rows)
