"""The secrets that sign what a webhook is told."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from tms_webhooks.models.encryption import EncryptedTextField
from tms_webhooks.models.webhook import Webhook

# What `WebhookSecretQuerySet.signing` says, for statements by hand.
SIGNS = "(s.expires_at IS NULL OR s.expires_at > %(now)s)"


class WebhookSecretQuerySet(models.QuerySet["WebhookSecret"]):
    """Secrets by whether they sign."""

    def signing(self, now: datetime) -> WebhookSecretQuerySet:
        """Keep those that sign at ``now``, the newest first."""
        return self.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now)).order_by("-pk")


class WebhookSecret(models.Model):
    """One secret of a webhook: the current one has no ``expires_at``, the rotated ones sign until theirs."""

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="secrets", verbose_name=_("webhook"))
    value = EncryptedTextField(_("value"))
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)

    objects = WebhookSecretQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook secret")
        verbose_name_plural = _("webhook secrets")
        constraints = [
            models.UniqueConstraint(
                fields=["webhook"], condition=Q(expires_at__isnull=True), name="tms_webhook_one_current_secret"
            ),
        ]

    def __str__(self) -> str:
        return f"secret {self.pk} of webhook {self.webhook_id}"
