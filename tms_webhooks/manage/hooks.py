"""Hooks: webhooks with one subscription that programs make for themselves. `Webhook.hook_of` says whose they are."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import router, transaction

from tms_webhooks.actors import Actor
from tms_webhooks.choices import DisabledReason
from tms_webhooks.manage import secrets, subscriptions, webhooks
from tms_webhooks.models import Subscription, Webhook, limits

LIFETIME = timedelta(days=30)
"""How long a hook that has an end lives on from a refresh that names no other end."""


def subscribe(
    hook: Webhook,
    subscription: Subscription,
    *,
    now: datetime,
    actor: Actor,
    secret: str | None = None,
    overlap: timedelta = timedelta(),
) -> tuple[Webhook, bool]:
    """Save a new hook, and return it with True; with False the hook of its maker that has its URL and event already.

    That one gets the filters, the end and the secret of the new one; the old secret also signs, for ``overlap``. It is
    enabled if it failed or expired: its client says that its receiver works again. An MCP subscription also has to have the
    same id. ``secret`` is the client's own; without it, a new hook has a generated one.
    Raise `LimitReached` if the maker has HOOKS_LIMIT hooks, or its organization too many webhooks.
    """
    own = Webhook.objects.existing().filter(hook_of=hook.hook_of)
    same = own.filter(
        organization=hook.organization_id, url=hook.url, subscriptions__event_type=subscription.event_type
    ).order_by("pk")
    using = router.db_for_write(Webhook)
    with transaction.atomic(using=using):
        # Locked before they are read: one may have been deleted or disabled, or another request may make one.
        Webhook.objects.lock(same.values_list("pk", flat=True))
        if not same.exists():
            # Only then, so that a request that waits for the webhook with this lock is in no other's way.
            limits.lock_organization(hook.organization_id, using=using)
        found = next((one for one in same if one.mcp_subscription == hook.mcp_subscription), None)
        if found is None:
            webhooks.create(hook, [subscription], secret=secret, actor=actor, now=now)
            # Afterwards: by now the organization is locked in any case.
            limits.refuse("HOOKS_LIMIT", own.count() - 1)
            return hook, True
        subscriptions.replace(found, [subscription], actor=actor, now=now)
        if secrets.is_new(found, secret, now=now):
            secrets.rotate(found, secret=secret, overlap=overlap, actor=actor, now=now)
        refresh(found, hook.expires_at, actor=actor, now=now)
        webhooks.heal(found, actor=actor, now=now)
    return found, False


def refresh(hook: Webhook, expires_at: datetime | None, *, now: datetime, actor: Actor) -> None:
    """Set the end of a hook; None is no end. One that was disabled at its end is enabled."""
    hook.expires_at = expires_at
    webhooks.update(hook, ["expires_at"], actor=actor, now=now)
    if hook.disabled_reason == DisabledReason.EXPIRED:
        webhooks.enable(hook, actor=actor, now=now)
