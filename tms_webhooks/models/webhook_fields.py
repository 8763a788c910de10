"""Two groups of a webhook's fields: the audience, which decides whose events it receives, and the format of its requests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from tms_webhooks import choices, validators
from tms_webhooks.actors import LONGEST_ACTOR_ID
from tms_webhooks.choices import ActorKind, Audience
from tms_webhooks.conf import app_settings
from tms_webhooks.models.audience import Integration, SubscriberScope
from tms_webhooks.models.credentials import known_headers
from tms_webhooks.models.encryption import EncryptedTextField

INTEGRATIONS = (ActorKind.API, ActorKind.USER, ActorKind.ADMINISTRATOR)
"""The kinds of actors that a webhook may belong to."""


class AudienceFields(models.Model):
    """The fields of a webhook that decide which organizations' events it receives."""

    audience = models.CharField(
        _("audience"),
        max_length=10,
        choices=Audience.choices,
        default=Audience.OWNER,
        help_text=_(
            "Events of the organization's own objects, such as its classes and their enrollments; events of its learners "
            "in any organization; or both."
        ),
    )
    include_children = models.BooleanField(
        _("include child organizations"),
        default=False,
        help_text=_("Include events of the organizations below this one, at any depth."),
    )
    skip_own = models.BooleanField(
        _("skip own changes"),
        default=False,
        help_text=_("Leave out the events that the integration caused itself. Name the integration below."),
    )
    integration_kind = models.CharField(
        _("integration"),
        max_length=20,
        choices=[choice for choice in ActorKind.choices if choice[0] in INTEGRATIONS],
        blank=True,
        default="",
        help_text=_("The kind of actor that the webhook belongs to: a user, an administrator or an API key."),
    )
    integration_id = models.CharField(
        _("integration id"),
        max_length=LONGEST_ACTOR_ID,
        blank=True,
        default="",
        help_text=_("The id of that API key or user, as in the actor of an event."),
    )

    organization_id: Any

    class Meta:
        abstract = True

    @property
    def scope(self) -> SubscriberScope:
        """The organizations whose events it receives."""
        return SubscriberScope(self.organization_id, self.audience, self.include_children, self._skipped)

    @property
    def _skipped(self) -> Integration | None:
        return Integration(self.integration_kind, self.integration_id) if self.skip_own else None

    def skips(self, event: Any) -> bool:
        """Return whether an event is an own change that the webhook leaves out."""
        return self._skipped == (event.actor_kind, event.actor_id)

    def audience_problems(self) -> Iterator[tuple[str, ValidationError]]:
        """Yield an error for child organizations where the host's form no tree, and for an incomplete integration."""
        missing = [name for name in ("integration_kind", "integration_id") if not getattr(self, name)]
        if len(missing) == 1:
            message = _("Give the kind and the id of the integration, or neither.")
            yield missing[0], ValidationError(message, code="integration")
        elif missing and self.skip_own:
            message = _("To skip own changes, name the integration: the kind and the id of its API key or user.")
            yield "skip_own", ValidationError(message, code="integration")
        if self.include_children and not app_settings.ORGANIZATION_PARENT:
            message = _("Child organizations are not available in this installation. Leave this off.")
            yield "include_children", ValidationError(message, code="no_tree")


class RequestFormatFields(models.Model):
    """The fields of a webhook that decide the headers and the body of its requests."""

    headers = EncryptedTextField(
        _("headers"),
        bound_to="uid",
        blank=True,
        default="",
        validators=[validators.validate_header_lines],
        help_text=_("One name=value per line, such as X-Tenant=north. Values are encrypted."),
    )
    format = models.CharField(
        _("format"),
        max_length=20,
        choices=choices.PayloadFormat.choices,
        default=choices.PayloadFormat.STANDARD,
        help_text=_("The format of the body."),
    )
    payload = models.CharField(
        _("payload"),
        max_length=12,
        choices=choices.PayloadDetail.choices,
        default=choices.PayloadDetail.FULL,
        help_text=_("The fields of the event that are sent."),
    )
    content = models.TextField(
        _("content"),
        blank=True,
        default="",
        validators=[MaxLengthValidator(validators.LONGEST_CONTENT)],
        help_text=_("For custom content: the body, with {tokens} such as {type}, {data.user.email} or {ClassId}."),
    )
    contents = models.JSONField(
        _("contents by event"),
        default=dict,
        blank=True,
        validators=[validators.validate_contents],
        help_text=_(
            'For custom content: another body for some events, such as {"class.cancelled": "{data.name} is off"}. Others '
            "get the content above."
        ),
    )

    class Meta:
        abstract = True

    def header_problems(self) -> Iterator[tuple[str, ValidationError]]:
        """Yield the error of a content type header, unless the body is custom content."""
        # Those that can't be read are reported by the field, or by each delivery.
        for name in known_headers(self.headers) or ():
            if validators.header_key(name) == validators.CONTENT_TYPE and self.format != choices.PayloadFormat.CUSTOM:
                message = _("%(name)s can be set only with a custom body. Remove it, or use a custom body.")
                yield "headers", validators.invalid_value(message, "header_content_type", name=name)
