"""The kinds of actors, the actions that a policy allows, and the actions in the audit log."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class ActorKind(models.TextChoices):
    """The kind of actor that caused a change."""

    USER = "user", _("User")
    """A signed-in person acting for themselves."""
    ADMINISTRATOR = "administrator", _("Administrator")
    """A signed-in member of staff."""
    API = "api", _("API")
    """Another system, through the host's API."""
    SYSTEM = "system", _("System")
    """A scheduled task, a command, the shell."""
    RECONCILE = "reconcile", _("Reconciliation")
    """Unknown: reconciliation detected an out-of-band change."""


class Action(models.TextChoices):
    """An action on the webhooks of an organization that the access policy may allow."""

    VIEW = "view", _("View")
    """View webhooks, deliveries and their results, without payloads and responses."""
    MANAGE = "manage", _("Manage")
    """Create, change, test, enable, disable and delete webhooks, and rotate and expire their secrets."""
    VIEW_PAYLOAD = "view_payload", _("View payloads")
    """View payloads and responses: personal data, and possibly data from an internal network."""
    REVEAL_SECRET = "reveal_secret", _("Reveal secrets")
    """View a signing secret after its creation."""
    REPLAY = "replay", _("Replay")
    """Resend, recover, try and cancel deliveries, and send snapshots."""


class AuditAction(models.TextChoices):
    """A recorded action, by its name in the audit log."""

    WEBHOOK_CREATED = "webhook.created", _("Webhook created")
    """A webhook was created, with its subscriptions."""
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
    """A user viewed a secret."""
    SECRET_EXPIRED = "secret.expired", _("Secret expired")
    """A user ended an older secret before its time."""
    SUBSCRIPTION_CREATED = "subscription.created", _("Subscription created")
    """A subscription was added to a webhook."""
    SUBSCRIPTION_UPDATED = "subscription.updated", _("Subscription changed")
    """A subscription was changed; the entry names the fields."""
    SUBSCRIPTION_DELETED = "subscription.deleted", _("Subscription deleted")
    """A subscription was removed from a webhook."""
    DELIVERY_RESENT = "delivery.resent", _("Delivery resent")
    """One delivery was resent."""
    DELIVERY_SENT_NOW = "delivery.sent_now", _("Delivery sent now")
    """A user had one waiting delivery attempted immediately."""
    JOB_STARTED = "job.started", _("Job started")
    """A recovery, a replay, a cancellation, a snapshot or an attempt of all queued deliveries was started."""
