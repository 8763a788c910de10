"""Create, change, enable, disable and delete a webhook.

Each is one transaction, however many deliveries wait. The open deliveries of a webhook that was disabled or deleted are
finished afterwards, in batches, by `tms_webhooks.delivery.sweep.settle`. Only this module and
`tms_webhooks.delivery.lifecycle`, by which the engine disables one, write ``enabled``, ``disabled_reason``,
``disabled_at`` and ``deleted_at``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import router, transaction

from tms_webhooks.actors import SYSTEM, Actor
from tms_webhooks.choices import DISABLED_BY_USER, AuditAction, DisabledReason
from tms_webhooks.delivery import lifecycle
from tms_webhooks.manage.audit import differences, save_changes
from tms_webhooks.models import AuditEntry, Subscription, Webhook, WebhookState
from tms_webhooks.models.webhook import NO_FAILURES, NO_HOLD

logger = logging.getLogger(__name__)


def create(
    webhook: Webhook,
    subscriptions: Sequence[Subscription] = (),
    *,
    now: datetime,
    actor: Actor = SYSTEM,
    secret: str | None = None,
) -> None:
    """Save a new webhook with its subscriptions and its first secret: ``secret``, or a generated one.

    If it is disabled, the reason is ``admin``. Raise `LimitReached` if its organization has too many webhooks, or the
    webhook too many subscriptions.
    """
    if not webhook.enabled:
        webhook.disabled_reason, webhook.disabled_at = DisabledReason.ADMIN, now
    with transaction.atomic(using=router.db_for_write(Webhook)):
        webhook.save(secret=secret)
        Subscription.objects.add_to(webhook, subscriptions)
        changes = {
            **differences(None, webhook),
            "subscriptions": {"to": [one.event_type for one in subscriptions]},
        }
        AuditEntry.objects.record(AuditAction.WEBHOOK_CREATED, webhook, actor=actor, now=now, changes=changes)


def update(webhook: Webhook, fields: Iterable[str], *, now: datetime, actor: Actor = SYSTEM) -> Mapping[str, Any]:
    """Save those of these fields in which a webhook differs from its row; return the differences, as in the audit log.

    Its state is not among the fields: see `enable` and `disable`.
    """
    with Webhook.objects.locked(webhook.pk):
        return save_changes(webhook, set(fields) - {"enabled"}, AuditAction.WEBHOOK_UPDATED, actor=actor, now=now)


def enable(webhook: Webhook, *, now: datetime, actor: Actor = SYSTEM) -> None:
    """Enable a webhook and reset its failures. Skipped deliveries stay skipped until a user replays them.

    Deliveries that were not skipped yet, because the webhook was disabled a moment ago, are sent.

    The signal ``webhook_recovered`` is sent if the webhook was disabled or paused.
    """
    with Webhook.objects.locked(webhook.pk, with_state=True):
        webhook.refresh_from_db(fields=["enabled", "disabled_reason"])
        state = webhook.state = WebhookState.objects.get(pk=webhook.pk)
        was_stopped = not webhook.enabled or state.pauses > 0
        values = {"enabled": True, "disabled_reason": "", "disabled_at": None, "updated_at": now}
        lifecycle.write(webhook, Webhook.objects.all(), **values)
        state.write(**NO_FAILURES, **NO_HOLD)
        AuditEntry.objects.record(AuditAction.WEBHOOK_ENABLED, webhook, actor=actor, now=now)
        if was_stopped:
            lifecycle.report_recovered(webhook, now=now)


def heal(webhook: Webhook, *, now: datetime, actor: Actor) -> bool:
    """Enable a webhook whose receiver works again, or end its pause; return whether it did.

    One that a user disabled, or that has not failed, is not changed.
    """
    with Webhook.objects.locked(webhook.pk, with_state=True):
        webhook.refresh_from_db(fields=["enabled", "disabled_reason"])
        if webhook.enabled:
            has_failed = WebhookState.objects.get(pk=webhook.pk).pauses > 0
        else:
            has_failed = webhook.disabled_reason not in DISABLED_BY_USER
        if has_failed:
            enable(webhook, actor=actor, now=now)
    return has_failed


def disable(webhook: Webhook, *, now: datetime, actor: Actor = SYSTEM) -> None:
    """Disable a webhook for the reason ``admin``, as `lifecycle.disable` does. A disabled one keeps its reason."""
    lifecycle.disable(webhook, reason=DisabledReason.ADMIN, actor=actor, now=now)


def delete(webhook: Webhook, *, now: datetime, actor: Actor = SYSTEM) -> None:
    """Delete a webhook and have its waiting deliveries cancelled. Requests in flight are completed.

    The row stays in the database, because the delivery log refers to it.
    """
    with transaction.atomic(using=router.db_for_write(Webhook)):
        if not lifecycle.write(webhook, Webhook.objects.existing(), deleted_at=now, updated_at=now):
            return
        logger.info("deleted webhook=%s", webhook.pk)
        lifecycle.settle_soon()
        AuditEntry.objects.record(AuditAction.WEBHOOK_DELETED, webhook, actor=actor, now=now)
