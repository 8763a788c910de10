"""Who does something, what they may do, and what the log calls it."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class ActorKind(models.TextChoices):
    """Who or what caused a change."""

    USER = "user", _("User")
    """A signed-in person acting for themselves."""
    ADMINISTRATOR = "administrator", _("Administrator")
    """A signed-in member of staff."""
    API = "api", _("API")
    """Another system, through the host's API."""
    SYSTEM = "system", _("System")
    """A scheduled task, a command, the shell."""
    RECONCILE = "reconcile", _("Reconciliation")
    """Nobody knows: the change was made unseen, and found later."""


class Action(models.TextChoices):
    """What somebody may be allowed to do with the webhooks of an organization."""

    VIEW = "view", _("View")
    """See webhooks, deliveries and their outcome, but no payload and no answer of a receiver."""
    MANAGE = "manage", _("Manage")
    """Create, change, test, enable, disable and delete webhooks, and rotate their secrets."""
    VIEW_PAYLOAD = "view_payload", _("View payloads")
    """See what was sent and what receivers answered: people's data, and a way to read an inner network."""
    REVEAL_SECRET = "reveal_secret", _("Reveal secrets")
    """See a signing secret after it was made."""
    REPLAY = "replay", _("Replay")
    """Send again, recover, and call off what waits."""


class AuditAction(models.TextChoices):
    """What was done by somebody, as the audit log names it."""

    WEBHOOK_CREATED = "webhook.created", _("Webhook created")
    """A webhook was made, with its subscriptions."""
    WEBHOOK_UPDATED = "webhook.updated", _("Webhook changed")
    """Fields of a webhook were changed; the entry names them."""
    WEBHOOK_DELETED = "webhook.deleted", _("Webhook deleted")
    """A webhook was deleted; its log stays."""
    WEBHOOK_ENABLED = "webhook.enabled", _("Webhook enabled")
    """A user or a successful test send enabled a webhook."""
    WEBHOOK_DISABLED = "webhook.disabled", _("Webhook disabled")
    """A user or the engine disabled a webhook; the entry names the reason."""
    WEBHOOK_TESTED = "webhook.tested", _("Webhook tested")
    """A test was sent."""
    SECRET_ROTATED = "secret.rotated", _("Secret rotated")
    """A webhook got a new secret."""
    SECRET_REVEALED = "secret.revealed", _("Secret revealed")
    """Somebody was shown a secret."""
    SUBSCRIPTION_CREATED = "subscription.created", _("Subscription created")
    """A webhook was subscribed to more."""
    SUBSCRIPTION_UPDATED = "subscription.updated", _("Subscription changed")
    """A subscription was changed; the entry names the fields."""
    SUBSCRIPTION_DELETED = "subscription.deleted", _("Subscription deleted")
    """A webhook was unsubscribed from something."""
    DELIVERY_RESENT = "delivery.resent", _("Delivery resent")
    """One delivery was sent again."""
    JOB_STARTED = "job.started", _("Job started")
    """A recovery, a replay or a cancellation was begun."""
