"""Apply the error actions of webhooks whose deliveries are given up; disable a webhook; report that one has recovered.

People are notified by `tms_webhooks.delivery.notices`, together with other changes.

`tms_webhooks.manage.webhooks` has what only people ask for.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import router, transaction

from tms_webhooks import signals
from tms_webhooks.actors import SYSTEM, Actor
from tms_webhooks.choices import DISABLED_BY_USER, AuditAction, DisabledReason, ErrorAction
from tms_webhooks.delivery.replay import WORK
from tms_webhooks.models import AuditEntry, Delivery, Webhook, WebhookState
from tms_webhooks.models.webhook import ReceiverQuerySet
from tms_webhooks.queues import enqueue

logger = logging.getLogger(__name__)


def disable(webhook: Webhook, *, reason: DisabledReason, now: datetime, actor: Actor = SYSTEM) -> None:
    """Disable a webhook and have its waiting deliveries skipped; they can be replayed later. None is claimed from now on.

    A disabled webhook is not changed.
    """
    with transaction.atomic(using=router.db_for_write(Webhook)):
        rows = Webhook.objects.filter(enabled=True)
        if not write(webhook, rows, enabled=False, disabled_reason=reason, disabled_at=now, updated_at=now):
            return
        if reason not in DISABLED_BY_USER:
            # A success after this time is a recovery.
            WebhookState.objects.filter(pk=webhook.pk).update(failed_at=now)
        logger.warning("disabled webhook=%s reason=%s", webhook.pk, reason.value)
        settle_soon()
        changes = {"disabled_reason": {"to": reason.value}}
        AuditEntry.objects.record(AuditAction.WEBHOOK_DISABLED, webhook, actor=actor, now=now, changes=changes)
        signals.webhook_disabled.send_in_savepoint(Webhook, webhook=webhook, reason=reason, now=now)


def report_recovered(webhook: Webhook, *, now: datetime) -> None:
    """Log that a webhook has recovered, and send the signal. Call it in the transaction of the change."""
    logger.info("recovered webhook=%s", webhook.pk)
    signals.webhook_recovered.send_in_savepoint(Webhook, webhook=webhook, now=now)


def settle_soon() -> None:
    """Have a worker finish the open deliveries of disabled and deleted webhooks after the commit."""
    transaction.on_commit(lambda: enqueue(WORK), using=router.db_for_write(Webhook), robust=True)


def write(webhook: Webhook, rows: ReceiverQuerySet, **values: Any) -> bool:
    """Write the values to the webhook's row and to the object; return False if the row is not among ``rows``."""
    if not rows.filter(pk=webhook.pk).update(**values):
        return False
    for name, value in values.items():
        setattr(webhook, name, value)
    return True


class GivenUpDelivery(NamedTuple):
    """A delivery that gets no further attempt. ``event_id`` is the public id; ``message`` describes the last result."""

    delivery_id: int
    webhook_id: int
    event_id: str
    message: str


def apply(given_up: Sequence[GivenUpDelivery], *, now: datetime) -> None:
    """Note that these deliveries are given up, and apply the error actions of their webhooks.

    Call it in the transaction that gives the deliveries up, with the webhooks and their states locked.
    """
    if not given_up:
        return
    webhooks = Webhook.objects.existing().in_bulk({delivery.webhook_id for delivery in given_up})
    rows = Delivery.objects.among(delivery.delivery_id for delivery in given_up)
    rows.update(given_up_at=now)
    event_types = dict(rows.values_list("pk", "event__type"))
    affected: dict[int, Webhook] = {}
    for delivery in given_up:
        webhook, event_type = webhooks.get(delivery.webhook_id), event_types.get(delivery.delivery_id)
        if not webhook or not event_type:
            continue
        affected[webhook.pk] = webhook
        logger.warning("given up event=%s webhook=%s: %s", delivery.event_id, webhook.pk, delivery.message)
        signals.webhook_exhausted.send_in_savepoint(
            Webhook,
            webhook=webhook,
            event_id=delivery.event_id,
            event_type=event_type,
            message=delivery.message,
            now=now,
        )
    to_notify = [pk for pk, webhook in affected.items() if webhook.error_action == ErrorAction.NOTIFY]
    WebhookState.objects.filter(pk__in=to_notify).update(given_up_at=now, failed_at=now)
    for webhook in affected.values():
        if webhook.error_action == ErrorAction.DISABLE:
            disable(webhook, reason=DisabledReason.FAILING, now=now)
