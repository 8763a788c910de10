"""Add, enable, disable and delete a webhook. All callers use these functions: admin, API, configuration files and worker.

Each function is one transaction, however many deliveries wait. The open deliveries of a webhook that was disabled or
deleted are finished afterwards, in batches, by `tms_webhooks.delivery.sweep`. No other module writes ``enabled``, ``disabled_reason``, ``disabled_at`` or ``deleted_at``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import router, transaction

from tms_webhooks import signals
from tms_webhooks.actors import SYSTEM, Actor
from tms_webhooks.choices import AuditAction, DisabledReason
from tms_webhooks.delivery.replay import WORK
from tms_webhooks.models import AuditEntry, Webhook
from tms_webhooks.models.webhook import ReceiverQuerySet
from tms_webhooks.queues import enqueue

# The fields of a webhook that is enabled and has no failures.
HEALTHY: Mapping[str, Any] = {
    "enabled": True,
    "disabled_reason": "",
    "disabled_at": None,
    "failures": 0,
    "failing_since": None,
    "paused_until": None,
    "pauses": 0,
    "failing_delivery": None,
    "held_until": None,
    "hold_reason": "",
    "warned_percent": 0,
}

logger = logging.getLogger(__name__)


def add(webhook: Webhook, *, now: datetime) -> None:
    """Save a new webhook. If it is disabled, the reason is ``admin``.

    The caller writes the audit entry, which also names the subscriptions.
    """
    if not webhook.enabled:
        webhook.disabled_reason, webhook.disabled_at = DisabledReason.ADMIN, now
    webhook.save()


def enable(webhook: Webhook, *, now: datetime, actor: Actor = SYSTEM) -> None:
    """Enable a webhook and reset its failures. Skipped deliveries stay skipped until a user replays them.

    Deliveries that were not skipped yet, because the webhook was disabled a moment ago, are sent.

    The signal ``webhook_recovered`` is sent if the webhook was disabled or paused.
    """
    with transaction.atomic(using=router.db_for_write(Webhook)):
        Webhook.objects.lock([webhook.pk])
        webhook.refresh_from_db(fields=["enabled", "disabled_reason", "pauses"])
        was_stopped = not webhook.enabled or webhook.pauses > 0
        _write(webhook, Webhook.objects.all(), **HEALTHY, updated_at=now)
        AuditEntry.objects.record(AuditAction.WEBHOOK_ENABLED, actor=actor, webhook=webhook, now=now)
        if was_stopped:
            report_recovered(webhook, now=now)


def disable(webhook: Webhook, *, reason: DisabledReason, now: datetime, actor: Actor = SYSTEM) -> None:
    """Disable a webhook and have its waiting deliveries skipped; they can be replayed later. None is claimed from now on.

    A disabled webhook is not changed.
    """
    with transaction.atomic(using=router.db_for_write(Webhook)):
        rows = Webhook.objects.filter(enabled=True)
        # A success after this time is a recovery.
        failed = {} if reason == DisabledReason.ADMIN else {"failed_at": now}
        if not _write(webhook, rows, enabled=False, disabled_reason=reason, disabled_at=now, updated_at=now, **failed):
            return
        logger.warning("disabled webhook=%s reason=%s", webhook.pk, reason.value)
        _settle_soon()
        changes = {"disabled_reason": {"to": reason.value}}
        AuditEntry.objects.record(AuditAction.WEBHOOK_DISABLED, actor=actor, webhook=webhook, now=now, changes=changes)
        signals.webhook_disabled.send_in_savepoint(Webhook, webhook=webhook, reason=reason, now=now)


def delete(webhook: Webhook, *, now: datetime, actor: Actor = SYSTEM) -> None:
    """Delete a webhook and have its waiting deliveries cancelled. Requests in flight are completed.

    The row stays in the database, because the delivery log refers to it.
    """
    with transaction.atomic(using=router.db_for_write(Webhook)):
        if not _write(webhook, Webhook.objects.existing(), deleted_at=now, updated_at=now):
            return
        logger.info("deleted webhook=%s", webhook.pk)
        _settle_soon()
        AuditEntry.objects.record(AuditAction.WEBHOOK_DELETED, actor=actor, webhook=webhook, now=now)


def report_recovered(webhook: Webhook, *, now: datetime) -> None:
    """Log that a webhook has recovered, and send the signal. Call it in the transaction of the change."""
    logger.info("recovered webhook=%s", webhook.pk)
    signals.webhook_recovered.send_in_savepoint(Webhook, webhook=webhook, now=now)


def _settle_soon() -> None:
    """Have a worker finish the open deliveries of disabled and deleted webhooks after the commit."""
    transaction.on_commit(lambda: enqueue(WORK), using=router.db_for_write(Webhook), robust=True)


def _write(webhook: Webhook, rows: ReceiverQuerySet, **values: Any) -> bool:
    """Write the values to the webhook's row and to the object; return False if the row is not among ``rows``."""
    if not rows.filter(pk=webhook.pk).update(**values):
        return False
    for name, value in values.items():
        setattr(webhook, name, value)
    return True
