"""The secrets that sign what a webhook is told."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from tms_webhooks.models import statements
from tms_webhooks.models.encryption import EncryptedTextField, Sealed
from tms_webhooks.models.webhook import Webhook

SIGNING = """
SELECT webhook_id, value FROM {webhooksecret}
WHERE webhook_id IN ({ids}) AND (expires_at IS NULL OR expires_at > %s) ORDER BY id DESC"""


class WebhookSecretManager(models.Manager["WebhookSecret"]):
    """Finds the secrets that sign."""

    def signing(self, webhooks: Iterable[int], *, now: datetime) -> Mapping[int, Sequence[Sealed]]:
        """Return the secrets that sign at ``now`` by the keys of these webhooks, each webhook's newest first."""
        found: dict[int, list[Sealed]] = defaultdict(list)
        for webhook_id, token in statements.read(SIGNING, [statements.moment(now)], ids=statements.numbers(webhooks)):
            found[webhook_id].append(Sealed(token))
        return found


class WebhookSecret(models.Model):
    """One secret of a webhook: the current one has no ``expires_at``, the rotated ones sign until theirs."""

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="secrets", verbose_name=_("webhook"))
    value = EncryptedTextField(_("value"))
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)

    objects = WebhookSecretManager()

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
