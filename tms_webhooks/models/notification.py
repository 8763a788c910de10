"""Notifications of people: the messages about a webhook, their recipients, times and outcomes.

The row is written in the transaction that notes the change on the webhook, and sent afterwards. One message has a row for
each webhook and change that it speaks of.
"""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from tms_webhooks.choices import NoticeChannel, NoticeKind, NoticeStatus
from tms_webhooks.db.sql import PrimaryManager

LONGEST_ERROR = 200
"""Characters of the reason that a message was not sent."""


class Notification(models.Model):
    """One webhook and its change in one message."""

    webhook = models.ForeignKey(
        "tms_webhooks.Webhook",
        on_delete=models.CASCADE,
        related_name="notifications",
        db_index=False,
        verbose_name=_("webhook"),
    )
    kind = models.CharField(_("kind"), max_length=20, choices=NoticeKind.choices)
    channel = models.CharField(_("channel"), max_length=10, choices=NoticeChannel.choices)
    # Mail addresses, one per line. The address of a chat is a secret: the host is asked for it when the message is sent.
    recipients = models.TextField(_("recipients"), blank=True, default="")
    message = models.UUIDField(editable=False, default=uuid.uuid4)
    since = models.DateTimeField(_("since"))
    status = models.CharField(_("status"), max_length=10, choices=NoticeStatus.choices, default=NoticeStatus.PENDING)
    attempts = models.PositiveSmallIntegerField(_("attempts"), default=0)
    due_at = models.DateTimeField(_("due at"), null=True)
    created_at = models.DateTimeField(_("created at"))
    finished_at = models.DateTimeField(_("finished at"), null=True)
    error = models.CharField(_("error"), max_length=LONGEST_ERROR, blank=True, default="")

    webhook_id: int

    objects = PrimaryManager["Notification"]()

    class Meta:
        verbose_name = _("notification")
        verbose_name_plural = _("notifications")
        ordering = ("-pk",)
        default_permissions = ()
        indexes = [
            # The notifications of a webhook, newest first.
            models.Index(fields=["webhook", "id"], name="tms_notification_by_webhook"),
            models.Index(fields=["message"], name="tms_notification_of_message"),
            # delivery/notices.py: those that are due.
            models.Index(fields=["due_at"], name="tms_notification_due", condition=Q(due_at__isnull=False)),
            # Pruning.
            models.Index(fields=["created_at", "id"], name="tms_notification_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.get_channel_display()}"

    @property
    def recipient_list(self) -> list[str]:
        """The mail addresses; empty for a chat."""
        return lines_of(self.recipients)


def lines_of(text: str) -> list[str]:
    """Return the lines of a text that are not blank, stripped."""
    return [line.strip() for line in text.splitlines() if line.strip()]
