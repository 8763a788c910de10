"""Rotate, end and reveal the signing secrets of a webhook. No audit entry and no signal holds a secret."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

from django.utils.translation import gettext as _

from tms_webhooks import signals
from tms_webhooks.actors import SYSTEM, Actor
from tms_webhooks.choices import AuditAction
from tms_webhooks.conf import app_settings
from tms_webhooks.exceptions import SecretError, SecretInUse
from tms_webhooks.models import AuditEntry, Webhook, WebhookSecret
from tms_webhooks.models.webhook import OLD_SECRETS_LIMIT, new_secret


def rotate(
    webhook: Webhook,
    *,
    now: datetime,
    actor: Actor = SYSTEM,
    overlap: timedelta | None = None,
    secret: str | None = None,
) -> str:
    """Give a webhook a new secret and return it. The old one also signs, for ``overlap``; with 0, no old one does.

    ``secret`` is a secret from elsewhere; without it one is generated. Raise ``ValueError`` if the overlap is negative or
    over the limit of the settings.
    """
    overlap = timedelta(seconds=app_settings.SECRET_OVERLAP_SECONDS) if overlap is None else overlap
    limit = timedelta(seconds=app_settings.SECRET_OVERLAP_LIMIT_SECONDS)
    if not timedelta() <= overlap <= limit:
        raise ValueError(f"overlap is {overlap}; choose from 0 to {limit}.")
    secret = secret or new_secret()
    with Webhook.objects.locked(webhook.pk):
        webhook.secrets.filter(expires_at__isnull=True).update(expires_at=now + overlap)
        # Without an overlap, all older secrets stop: one of them may have leaked.
        longest = limit if overlap else overlap
        webhook.secrets.filter(expires_at__gt=now + longest).update(expires_at=now + longest)
        old = list(webhook.secrets.filter(expires_at__gt=now).order_by("-pk").values_list("pk", flat=True))
        webhook.secrets.filter(pk__in=old[OLD_SECRETS_LIMIT:]).update(expires_at=now)
        webhook.secrets.create(value=secret)
        changes = {"overlap_seconds": {"to": int(overlap.total_seconds())}}
        AuditEntry.objects.record(AuditAction.SECRET_ROTATED, webhook, actor=actor, now=now, changes=changes)
        signals.webhook_secret_rotated.send_in_savepoint(Webhook, webhook=webhook, now=now)
    return secret


def is_new(webhook: Webhook, secret: str | None, *, now: datetime) -> bool:
    """Return whether a secret is given that is not the current one. A current one that can't be decrypted is another."""
    with suppress(SecretError):
        return bool(secret) and secret not in webhook.signing_secrets(now)[:1]
    return True


def expire(secret: WebhookSecret, *, now: datetime, actor: Actor = SYSTEM) -> None:
    """End an older secret at ``now``: no request is signed with it from then on. One that has ended is not changed.

    Raise `SecretInUse` for the current one, without which nothing could be signed.
    """
    with Webhook.objects.locked(secret.webhook_id):
        secret.refresh_from_db(fields=["expires_at"])
        before = secret.expires_at
        if before is None:
            message = _(
                "Secret %(key)s is the current one, and a webhook needs one. Rotate it with an overlap of 0 seconds: "
                "then no older secret signs."
            )
            raise SecretInUse(message % {"key": secret.public_id})
        if before <= now:
            return
        secret.expires_at = now
        secret.save(update_fields=["expires_at"])
        AuditEntry.objects.record(
            AuditAction.SECRET_EXPIRED,
            secret,
            actor=actor,
            now=now,
            changes={"expires_at": {"from": before, "to": now}},
        )


def reveal(webhook: Webhook, *, now: datetime, actor: Actor = SYSTEM) -> str:
    """Return the newest secret of a webhook, with an audit entry. Raise `SecretError` if it can't be decrypted."""
    newest = next(iter(webhook.signing_secrets(now)), None)
    if newest is None:
        raise SecretError("The webhook has no secret. Rotate it to create one.")
    AuditEntry.objects.record(AuditAction.SECRET_REVEALED, webhook, actor=actor, now=now)
    return newest
