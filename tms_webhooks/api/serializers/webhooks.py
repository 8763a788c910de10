"""A webhook, with its subscriptions."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.utils import timezone
from rest_framework import serializers

from tms_webhooks.api.problems import Fault, UnknownReference
from tms_webhooks.api.serializers.bases import RowSerializer
from tms_webhooks.api.serializers.fields import KeyField, ListOfField
from tms_webhooks.api.serializers.lines import ContactsField, HeadersField, stored_headers
from tms_webhooks.api.serializers.subscriptions import MOST_SUBSCRIPTIONS, SubscriptionSerializer
from tms_webhooks.choices import Action, PayloadFormat
from tms_webhooks.delivery import rendering
from tms_webhooks.models import Webhook
from tms_webhooks.models.encryption import MASK
from tms_webhooks.net.urls import same_receiver

# Its class is generic for the type checker alone.
if TYPE_CHECKING:
    _RelatedField = serializers.PrimaryKeyRelatedField[Any]
else:
    _RelatedField = serializers.PrimaryKeyRelatedField

STATES = ("enabled", "paused", "disabled")


class OrganizationField(_RelatedField):
    """An organization by the host's own key: one that the caller may view, and no other one is there."""

    default_error_messages = {
        "null": "It is null; name one of your organizations by its id.",
        "required": "It is missing; name one of your organizations by its id.",
    }

    def get_queryset(self) -> Any:
        """Return the caller's organizations."""
        return self.context["view"].organizations(Action.VIEW)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Return the organization; an empty text names none, and is not null."""
        return self.fail("does_not_exist") if data == "" else super().run_validation(data)

    def to_internal_value(self, data: Any) -> Any:
        """Return the organization; a key is no fraction that a database would round."""
        return self.fail("incorrect_type") if isinstance(data, float) else super().to_internal_value(data)

    def fail(self, key: str, **kwargs: Any) -> Any:
        """Raise `UnknownReference` for what can't be found, in the same words whyever that is."""
        if key in {"does_not_exist", "incorrect_type"}:
            detail = "There is no such organization; name one of yours by its id."
            fault = Fault("pointer", "#/organization", "unknown", detail)
            raise UnknownReference("The organization is not there.", faults=[fault])
        super().fail(key, **kwargs)


class WebhookSerializer(RowSerializer):
    """A webhook. Its secret is no field of it."""

    id = KeyField()
    organization = OrganizationField(queryset=Webhook.objects.none())
    headers = HeadersField(required=False)
    contacts = ContactsField(required=False)
    state = serializers.SerializerMethodField()
    subscriptions: Any = serializers.ListSerializer(
        child=SubscriptionSerializer(),
        required=False,
        max_length=MOST_SUBSCRIPTIONS,
        error_messages=ListOfField.default_error_messages,
    )

    read_only_remedies = {
        "organization": "a webhook stays with its organization",
        "enabled": "POST to its enable/ or disable/",
        "subscriptions": "change them at its subscriptions/",
    }

    class Meta:
        model = Webhook
        set_once = ("organization", "enabled", "subscriptions")
        own = (
            "disabled_reason",
            "disabled_at",
            "failures",
            "failing_since",
            "succeeded_at",
            "paused_until",
            "created_at",
            "updated_at",
        )
        fields = (
            "id",
            "organization",
            "name",
            "url",
            "verb",
            "headers",
            "format",
            "payload",
            "content",
            "payload_version",
            "audience",
            "include_children",
            "delay_seconds",
            "timeout_seconds",
            "max_retries",
            "schedule",
            "max_in_flight",
            "ordered",
            "rate_limit_per_second",
            "error_action",
            "contacts",
            "subscriptions",
            "enabled",
            "state",
            *own,
        )
        read_only_fields = own

    def get_fields(self) -> dict[str, Any]:
        """Return the fields; some can be set only when a webhook is made."""
        fields = super().get_fields()
        if isinstance(self.instance, Webhook):
            for name in self.Meta.set_once:
                fields[name].read_only = True
        return fields

    def get_state(self, webhook: Webhook) -> str:
        """Return whether it gets requests now."""
        if not webhook.enabled:
            return "disabled"
        return "enabled" if webhook.is_awake(timezone.now()) else "paused"

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Check the webhook as it would be, content and URL against the events that it subscribes to."""
        if isinstance(self.instance, Webhook):
            self._refuse_headers_elsewhere(self.instance, attrs)
        values = dict(attrs)
        subscriptions = values.pop("subscriptions", None)
        if subscriptions is not None:
            self._patterns = [subscription["event_type"] for subscription in subscriptions]
        elif isinstance(self.instance, Webhook):
            self._patterns = [subscription.event_type for subscription in self.instance.subscriptions.all()]
        row = copy.copy(self.instance) if isinstance(self.instance, Webhook) else Webhook()
        self._refuse_content_type(values.get("format", row.format), values.get("headers", row.headers))
        self.validated_row(row, values)
        return attrs

    def _refuse_headers_elsewhere(self, webhook: Webhook, attrs: dict[str, Any]) -> None:
        """Raise ``ValidationError`` where header values that the caller may not know would go to another receiver."""
        if same_receiver(webhook.url, attrs.get("url", webhook.url)):
            return
        told = {name.lower() for name, value in self.initial_data.get("headers", {}).items() if value != MASK}
        kept = [name for name in stored_headers(webhook.headers) if name.lower() not in told]
        if kept:
            message = "The URL leads to another receiver; give the header's value anew, or null to remove it."
            raise _wrong_headers(kept, message, code="new_receiver")

    def _refuse_content_type(self, chosen: str, headers: Any) -> None:
        """Raise ``ValidationError`` for a content type of a format that has its own, which the model tells by lines."""
        named = [name for name in stored_headers(headers) if name.lower() == "content-type"]
        if named and chosen != PayloadFormat.CUSTOM:
            message = "Only the format custom takes a content type; remove the header by null, or choose that format."
            raise _wrong_headers(named, message, code="header_content_type")

    _patterns: Iterable[str] = ()

    def check(self, row: Any) -> None:
        """Check what is sent: right for any event at all, and for those that are chosen."""
        problems = rendering.problems_for(row, self._patterns)
        if problems is not None:
            raise problems


def _wrong_headers(names: Iterable[str], message: str, *, code: str) -> serializers.ValidationError:
    return serializers.ValidationError(
        {"headers": {name: [serializers.ErrorDetail(message, code=code)] for name in names}}
    )


class WebhookChangesSerializer(WebhookSerializer):
    """The fields of an existing webhook that can be changed."""

    def get_fields(self) -> dict[str, Any]:
        """Leave out the fields that are set once."""
        return {name: field for name, field in super().get_fields().items() if name not in self.Meta.set_once}
