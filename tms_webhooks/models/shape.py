"""What a webhook's requests look like: their headers, and the form of their bodies."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from tms_webhooks import choices, validators
from tms_webhooks.exceptions import SecretError
from tms_webhooks.models.encryption import EncryptedTextField, reveal

LONGEST_CONTENT = 65_536


class Shaped(models.Model):
    """The part of a webhook that says what is sent."""

    headers = EncryptedTextField(
        _("headers"),
        blank=True,
        default="",
        validators=[validators.validate_header_lines],
        help_text=_("One name=value a line, such as Authorization=Basic dXNlcjpwYXNz. Values are encrypted."),
    )
    format = models.CharField(
        _("format"),
        max_length=12,
        choices=choices.PayloadFormat.choices,
        default=choices.PayloadFormat.STANDARD,
        help_text=_("What the body looks like."),
    )
    payload = models.CharField(
        _("payload"),
        max_length=12,
        choices=choices.PayloadDetail.choices,
        default=choices.PayloadDetail.FULL,
        help_text=_("How much of an event is sent."),
    )
    content = models.TextField(
        _("content"),
        blank=True,
        default="",
        validators=[MaxLengthValidator(LONGEST_CONTENT)],
        help_text=_("For custom content: the body, with {tokens} such as {type}, {data.user.email} or {ClassId}."),
    )
    payload_version = models.PositiveSmallIntegerField(
        _("payload version"),
        null=True,
        blank=True,
        validators=[MinValueValidator(1)],
        help_text=_(
            "The newest version of an event's schema that the receiver understands; empty: whatever is newest."
        ),
    )

    class Meta:
        abstract = True

    def clean(self) -> None:
        """Refuse a content type where the body is not the webhook's own."""
        try:
            lines = reveal(self.headers)
            validators.validate_header_lines(lines)
        except (SecretError, ValidationError):
            return  # told by the field, or by every delivery
        try:
            validators.validate_headers(lines, custom_body=self.format == choices.PayloadFormat.CUSTOM)
        except ValidationError as error:
            raise ValidationError({"headers": error.error_list}) from error
