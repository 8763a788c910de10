"""What workers write of a webhook: one row for each webhook, apart from its configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.utils.translation import gettext_lazy as _


class WebhookState(models.Model):
    """The state of one webhook. `Webhook.save` creates it in the transaction that creates the webhook."""

    webhook = models.OneToOneField(
        "tms_webhooks.Webhook",
        on_delete=models.CASCADE,
        primary_key=True,
        related_name="state",
        verbose_name=_("webhook"),
    )
    # The worker that may send, and until when, by the database's clock.
    lease = models.CharField(_("lease"), max_length=36, blank=True, default="")
    leased_until = models.DateTimeField(_("leased until"), null=True)

    if TYPE_CHECKING:
        webhook_id: Any

    class Meta:
        verbose_name = _("webhook state")
        verbose_name_plural = _("webhook states")

    def __str__(self) -> str:
        return f"state of webhook {self.webhook_id}"
