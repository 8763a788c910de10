"""The serializers of hooks."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework import serializers

from tms_webhooks import event_names
from tms_webhooks.api.schema.shim import extend_schema_field
from tms_webhooks.api.serializers.base import IDField, StrictCharField, StrictSerializer, UTCDateTimeField, invalid
from tms_webhooks.api.serializers.webhook_fields import OrganizationField
from tms_webhooks.api.serializers.webhooks import WebhookSerializer
from tms_webhooks.choices import Action
from tms_webhooks.delivery.signing import secret_key
from tms_webhooks.models import Subscription, Webhook

_NAMES = {"url": "target_url", "event_type": "event"}
"""The names of a hook for fields of a webhook and its subscription."""


class HookRefreshSerializer(StrictSerializer):
    """The new end of a hook; null is no end."""

    expires_at = UTCDateTimeField(required=False, allow_null=True)

    def validate_expires_at(self, value: datetime | None) -> datetime | None:
        """Reject an end that has passed."""
        if value is not None and value <= timezone.now():
            raise serializers.ValidationError("In the past; give a later time, or null for no end.", code="past")
        return value


class NewHookSerializer(HookRefreshSerializer):
    """A hook to make. ``secret`` is the client's own: ``whsec_`` and the base64 of 24 to 64 bytes. By default one is generated.

    ``organization`` is needed by callers of several ones.
    """

    organization = OrganizationField(required=False)
    target_url = StrictCharField()
    event = StrictCharField()
    filters = serializers.JSONField(required=False)
    secret = StrictCharField(required=False)

    def validate_secret(self, value: str) -> str:
        """Reject a secret of another form."""
        try:
            secret_key(value)
        except ValueError as error:
            raise serializers.ValidationError(f"{error} Or omit it.", code="secret") from error
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Return the ``hook``, its ``subscription`` and ``secret``; raise ``ValidationError`` if a webhook can't be like this."""
        view, event = self.context["view"], attrs["event"]
        organizations = view.organizations(Action.MANAGE).order_by("pk").values_list("pk", flat=True)[:2]
        if "organization" not in attrs and len(organizations) != 1:
            message = "Missing; you may make hooks in several organizations, or in none. GET me/ lists them."
            raise invalid(["organization"], error=message, code="required")
        label = re.sub(r"[^\w .:@-]", " ", view.actor.label or view.actor.id)[:40]
        data = {
            "organization": attrs.get("organization") or organizations[0],
            "name": f"{label}: {event[:100]}",
            "url": attrs["target_url"],
            "subscriptions": [{"event_type": event, "filters": attrs.get("filters", {})}],
        }
        webhook = WebhookSerializer(data=data, context=self.context)
        if not webhook.is_valid():
            errors: dict[str, Any] = dict(webhook.errors)
            errors |= errors.pop("subscriptions", [{}])[0]
            raise serializers.ValidationError({_NAMES.get(name, name): error for name, error in errors.items()})
        values = dict(webhook.validated_data)
        (subscription,) = values.pop("subscriptions")
        hook = Webhook(**values, hook_of=view.mark, expires_at=attrs.get("expires_at"))
        return {"hook": hook, "subscription": Subscription(**subscription), "secret": attrs.get("secret")}


class HookSerializer(serializers.ModelSerializer):
    """A hook: a webhook that a program made for itself. ``sample`` is the URL of events as it may get them."""

    id = IDField(source="public_id")
    organization = OrganizationField(source="organization_id")
    target_url = serializers.CharField(source="url")
    event = serializers.CharField(source="subscriptions.first.event_type", allow_null=True)
    filters = serializers.JSONField(source="subscriptions.first.filters", allow_null=True)
    expires_at = UTCDateTimeField(allow_null=True)
    sample = serializers.SerializerMethodField()

    class Meta:
        model = Webhook
        fields = (
            "id",
            "organization",
            "target_url",
            "event",
            "filters",
            "enabled",
            "disabled_reason",
            "expires_at",
            "sample",
        )
        read_only_fields = fields

    @extend_schema_field(serializers.URLField(allow_null=True))
    def get_sample(self, hook: Webhook) -> str | None:
        """Return the URL of samples of its event, or of one that its pattern matches."""
        names = [name for one in hook.subscriptions.all() for name in event_names.matching(one.event_type)]
        return self.context["view"].url_of("event-type-samples", name=names[0]) if names else None
