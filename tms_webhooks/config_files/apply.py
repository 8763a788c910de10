"""Apply a document to the stored webhooks in one transaction: all of it, or nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from django.db import router, transaction

from tms_webhooks.actors import Actor
from tms_webhooks.choices import AuditAction, DisabledReason
from tms_webhooks.config_files.document import DocumentError, DocumentReader, webhook_fields
from tms_webhooks.config_files.plan import WebhookChange, changes
from tms_webhooks.delivery import lifecycle
from tms_webhooks.exceptions import LimitReached
from tms_webhooks.models import AuditEntry, Subscription, Webhook
from tms_webhooks.models.encryption import MASK


def synchronize(
    text: str,
    *,
    environ: Mapping[str, str],
    actor: Actor,
    now: datetime,
    prune: bool = False,
    keep_secrets: bool = False,
    dry_run: bool = False,
) -> Sequence[WebhookChange]:
    """Create, change and delete webhooks as the document describes; return the changes. A second run returns none.

    Organization and name identify a webhook. ``prune`` deletes the webhooks of the document's organizations that it does
    not name; ``keep_secrets`` leaves secrets, headers and authentication as they are; ``dry_run`` changes nothing. Raises `DocumentError`
    with all mistakes.
    """
    using = router.db_for_write(Webhook)
    with transaction.atomic(using=using):
        wanted = DocumentReader(environ, keep_secrets=keep_secrets).read(text)
        existing = Webhook.objects.existing().filter(organization__in={one.organization for one in wanted})
        plan = changes(wanted, list(existing.select_for_update().order_by("pk")), prune=prune, now=now)
        if not dry_run:
            # Deletions first: the number of webhooks is limited.
            for change in sorted(plan, key=lambda one: one.action != AuditAction.WEBHOOK_DELETED):
                _apply_within_limits(change, actor=actor, now=now)
    return plan


def _apply_within_limits(change: WebhookChange, *, actor: Actor, now: datetime) -> None:
    try:
        _apply(change, actor=actor, now=now)
    except LimitReached as error:
        # Another transaction has added a webhook since the plan was made.
        raise DocumentError([f"{change.label}: {error}"]) from error


def _apply(change: WebhookChange, *, actor: Actor, now: datetime) -> None:
    webhook = change.webhook
    if change.action == AuditAction.WEBHOOK_DELETED:
        lifecycle.delete(webhook, actor=actor, now=now)
        return
    if change.action == AuditAction.WEBHOOK_CREATED:
        lifecycle.add(webhook, now=now)
        if change.secret is not None:
            current = webhook.secrets.get()
            current.value = change.secret
            current.save(update_fields=["value"])
    else:
        webhook.save(update_fields=[*webhook_fields(), "headers", "authentication", "credentials", "updated_at"])
        if change.secret is not None:
            webhook.rotate_secret(now=now, secret=change.secret)
    _write_subscriptions(change)
    if audited := _audit_changes(change):
        AuditEntry.objects.record(change.action, actor=actor, webhook=webhook, now=now, changes=audited)
    if change.enabled is True:
        lifecycle.enable(webhook, actor=actor, now=now)
    elif change.enabled is False:
        lifecycle.disable(webhook, actor=actor, reason=DisabledReason.ADMIN, now=now)


def _write_subscriptions(change: WebhookChange) -> None:
    for one in change.removed:
        one.delete()
    Subscription.objects.add_to(change.webhook, change.added)
    for old, new in change.changed:
        # With the key of the old row: it identifies the events that this subscription had.
        new.pk, new.uid, new._state.adding = old.pk, old.uid, False
        new.save(force_update=True)


def _audit_changes(change: WebhookChange) -> Mapping[str, object]:
    """Return the changes for the audit log, without the secret itself."""
    audited = dict(change.fields)
    if change.secret is not None:
        audited["secret"] = MASK
    for name, rows in (("subscribed", change.added), ("unsubscribed", change.removed)):
        if rows:
            audited[name] = [one.event_type for one in rows]
    if change.changed:
        audited["changed_subscriptions"] = [new.event_type for _old, new in change.changed]
    return audited
