"""What workers write of a webhook: its health, holds, tokens and lease, one row for each webhook, apart from what people set.

Locks are taken in this order: the webhook, its state, its deliveries. Of several webhooks the one with the lowest key is
first.

- A change of the configuration locks the webhook.
- Successes, claims, and whatever changes several deliveries of a webhook lock the state.
- Failures, which may disable the webhook, and whatever decides by both rows lock both.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from tms_webhooks import choices
from tms_webhooks.db.sql import database, for_update, numbers, read

# Between the end of a hold and the attempt that renews it.
KEYS_GRACE = timedelta(minutes=1)

NOTICEABLE = Q(failing_since__isnull=False) | Q(given_up_at__isnull=False) | ~Q(notified_of="")
"""The enabled webhooks that are not simply healthy. A condition of the database, for an index."""

# Lock the states of webhooks in the order of their keys. By primary key.
LOCK = "SELECT webhook_id FROM {webhookstate} WHERE webhook_id IN ({ids}) ORDER BY webhook_id {lock}"

NO_FAILURES = {
    "failures": 0,
    "failing_since": None,
    "failing_delivery": None,
    "paused_until": None,
    "pauses": 0,
    "warned_percent": 0,
}
"""The values of a webhook that has not failed since its last success."""
NO_HOLD = {"held_until": None, "hold_reason": ""}


class WebhookStateQuerySet(models.QuerySet["WebhookState"]):
    """Filters and locks for the states of webhooks."""

    def lock(self, keys: Iterable[int]) -> None:
        """Lock the states of these webhooks until the transaction ends, before their deliveries."""
        if database().features.has_select_for_update:
            read(LOCK, ids=numbers(sorted(set(keys))), lock=for_update())

    def without_keys(self, now: datetime) -> WebhookStateQuerySet:
        """Keep those that are held because no encryption key decrypts their secrets, or were a minute before ``now``."""
        held = self.filter(hold_reason=choices.HoldReason.KEYS, held_until__gt=now - KEYS_GRACE)
        return held.filter(webhook__enabled=True, webhook__deleted_at__isnull=True)


class WebhookState(models.Model):
    """The state of one webhook. `Webhook.save` creates it in the transaction that creates the webhook."""

    webhook = models.OneToOneField(
        "tms_webhooks.Webhook", on_delete=models.CASCADE, primary_key=True, related_name="state"
    )
    # The worker that may send, and until when, by the database's clock.
    lease = models.CharField(max_length=36, blank=True, default="")
    leased_until = models.DateTimeField(null=True)
    served_at = models.DateTimeField(null=True)
    # Health: see delivery/health.py.
    failures = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True)
    succeeded_at = models.DateTimeField(null=True)
    paused_until = models.DateTimeField(null=True)
    pauses = models.PositiveSmallIntegerField(default=0)
    # The only delivery that has failed since the last success; empty if several have, or none.
    failing_delivery = models.BigIntegerField(null=True)
    held_until = models.DateTimeField(null=True)
    hold_reason = models.CharField(max_length=12, choices=choices.HoldReason.choices, blank=True, default="")
    warned_percent = models.PositiveSmallIntegerField(default=0)
    # Notifications: see delivery/notices.py.
    failed_at = models.DateTimeField(null=True)
    # The result of the last failed attempt: a status code, or an error class.
    failed_with = models.CharField(max_length=20, blank=True, default="")
    # The last delivery that was given up, where the error action is to notify.
    given_up_at = models.DateTimeField(null=True)
    # The last change that people were notified of. Empty after a recovery.
    notified_of = models.CharField(max_length=20, choices=choices.NoticeKind.choices, blank=True, default="")
    notified_at = models.DateTimeField(null=True)
    # Rate limit: see worker/concurrency.py.
    tokens = models.FloatField(default=0.0)
    tokens_at = models.DateTimeField(null=True)

    if TYPE_CHECKING:
        webhook_id: Any

    objects = WebhookStateQuerySet.as_manager()

    class Meta:
        verbose_name = _("webhook state")
        verbose_name_plural = _("webhook states")
        indexes = [
            # worker/statements.py: the webhooks that workers hold.
            models.Index(fields=["lease"], name="tms_webhook_leased", condition=Q(lease__gt="")),
            # delivery/notices.py: the few webhooks that people may have to be notified of. Not on the key: MariaDB knows no
            # condition, and would lock rows by this index that others lock by their key.
            models.Index(fields=["notified_of"], name="tms_webhook_noticeable", condition=NOTICEABLE),
        ]

    def __str__(self) -> str:
        return f"state of webhook {self.webhook_id}"

    def is_held(self, now: datetime) -> bool:
        """Return whether it gets no requests because the receiver asked for it, or an encryption key is missing."""
        return self.held_until is not None and self.held_until > now

    def is_paused(self, now: datetime) -> bool:
        """Return whether it gets no new events because it has failed several times."""
        return self.paused_until is not None and self.paused_until > now

    def write(self, **values: Any) -> None:
        """Write these values to the row and to the object. Call it with the row locked, if the values depend on others."""
        for name, value in values.items():
            setattr(self, name, value)
        self.save(update_fields=values)

    def end_pause(self) -> None:
        """End a pause and a hold, so that queued deliveries go out; if the receiver still fails, the next pause is no longer.

        Call it with the row locked.
        """
        # Not below 1: without a pause there would be no recovery to report.
        self.write(pauses=min(self.pauses, max(self.pauses - 1, 1)), paused_until=None, **NO_HOLD)
