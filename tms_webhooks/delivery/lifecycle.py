"""Disable a webhook, which the engine does, too, and report that one has recovered.

`tms_webhooks.manage.webhooks` has what only people ask for.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

from django.db import router, transaction

from tms_webhooks import signals
from tms_webhooks.actors import SYSTEM, Actor
from tms_webhooks.choices import AuditAction, DisabledReason
from tms_webhooks.delivery.replay import WORK
from tms_webhooks.models import AuditEntry, Webhook, WebhookState
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
        if reason != DisabledReason.ADMIN:
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
