"""The notification addresses of an organization: mail addresses, and incoming webhooks of Slack and Teams."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from tms_webhooks import validators
from tms_webhooks.choices import NoticeChannel
from tms_webhooks.conf import app_settings
from tms_webhooks.models.encryption import EncryptedTextField, Sealed
from tms_webhooks.models.organization import organization_model
from tms_webhooks.models.public_ids import PublicIDModel


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

    if TYPE_CHECKING:
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
