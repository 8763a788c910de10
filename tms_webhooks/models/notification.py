"""Notifications of people: the messages about a webhook, their recipients, times and outcomes; and the addresses of an organization.

The row is written in the transaction that notes the change on the webhook, and sent afterwards. One message has a row for
each webhook and change that it speaks of.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from tms_webhooks import validators
from tms_webhooks.choices import NoticeChannel, NoticeKind, NoticeStatus
from tms_webhooks.conf import app_settings
from tms_webhooks.db.sql import PrimaryManager
from tms_webhooks.models.encryption import EncryptedTextField, Sealed
from tms_webhooks.models.organization import organization_model
from tms_webhooks.models.public_ids import PublicIDModel

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
    # Mail addresses, one per line. The address of a chat is a secret, and read when the message is sent.
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


def as_lines(values: Iterable[str]) -> str:
    """Return these values, one per line, for `lines_of`."""
    return "\n".join(values)


def _chat_field(label: Any, help_text: Any) -> EncryptedTextField:
    return EncryptedTextField(
        label,
        bound_to="uid",
        blank=True,
        default="",
        validators=[validators.validate_chat_url],
        help_text=help_text,
    )


class NotificationAddresses(PublicIDModel):
    """Where one organization is notified of its webhooks. The chat addresses are secrets: who has one can post there."""

    PUBLIC_PREFIX = "adr_"

    organization = models.OneToOneField(
        organization_model(),
        on_delete=models.CASCADE,
        related_name="+",
        verbose_name=_("organization"),
    )
    contacts = models.TextField(
        _("contacts"),
        blank=True,
        default="",
        validators=[validators.validate_contacts],
        help_text=_("E-mail addresses, one per line, for the webhooks that have no contacts of their own."),
    )
    slack_url = _chat_field(
        _("Slack address"),
        _("URL of an incoming webhook of Slack, such as https://hooks.slack.com/services/…. Encrypted after saving."),
    )
    teams_url = _chat_field(
        _("Teams address"),
        _("URL of a workflow of Teams that posts webhook alerts to a channel. Encrypted after saving."),
    )

    organization_id: Any

    class Meta:
        verbose_name = _("notification addresses")
        verbose_name_plural = _("notification addresses")
        ordering = ("pk",)
        # Who may change webhooks may change these.
        default_permissions = ()

    def __str__(self) -> str:
        return str(self.organization)

    def clean(self) -> None:
        """Refuse a row without any address."""
        super().clean()
        if not (self.contacts.strip() or self.slack_url or self.teams_url):
            raise ValidationError(_("Give at least one address, or delete the entry."), code="no_address")

    @property
    def chats(self) -> dict[NoticeChannel, Sealed | str]:
        """The chat addresses that are filled in, encrypted."""
        found = {NoticeChannel.SLACK: self.slack_url, NoticeChannel.TEAMS: self.teams_url}
        return {channel: url for channel, url in found.items() if url}


def has_recipient(contacts: str, organization: Any) -> bool:
    """Return whether notifications about a webhook with these contacts have a recipient, or those of its organization do."""
    # A row has at least one address.
    rows = NotificationAddresses.objects.filter(organization=organization)
    return bool(contacts.strip() or app_settings.CONTACTS) or rows.exists()
