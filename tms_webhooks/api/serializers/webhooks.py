"""The serializers of a webhook, of its subscriptions, and of a hook.

The table stores headers and contacts of a webhook as lines of text; the API shows an object and a list.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.fields import get_error_detail

from tms_webhooks import event_names
from tms_webhooks.api.problems import MAX_ERRORS
from tms_webhooks.api.schema.shim import extend_schema_field
from tms_webhooks.api.serializers.answers import WEBHOOK_STATES
from tms_webhooks.api.serializers.base import (
    DescribedField,
    IDField,
    OrganizationIDField,
    StrictCharField,
    StrictChoiceField,
    StrictModelSerializer,
    StrictSerializer,
    UTCDateTimeField,
    WordField,
    apply_and_validate,
    invalid,
    json_type_of,
    to_drf_detail,
)
from tms_webhooks.choices import Action, Health, HoldReason, PayloadFormat, Preset
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery import rendering
from tms_webhooks.delivery.signing import secret_key
from tms_webhooks.exceptions import SecretError
from tms_webhooks.models import Subscription, Webhook
from tms_webhooks.models.credentials import (
    FIELDS,
    field_names,
    from_text,
    is_same_receiver,
    known_headers,
    masked,
    same_values,
    secret_names,
    to_text,
    validate,
    withheld,
)
from tms_webhooks.models.encryption import reveal
from tms_webhooks.models.notification import lines_of
from tms_webhooks.models.organization import has_whole_number_key
from tms_webhooks.models.subscription import duplicates
from tms_webhooks.models.webhook_fields import INTEGRATIONS
from tms_webhooks.net.urls import MASK
from tms_webhooks.routing.explain import unknown_filter_ids, unknown_ids_warning
from tms_webhooks.validators import check_header, validate_contacts, validate_header_lines


class OrganizationField(DescribedField):
    """The key of an organization. One that the caller may not view is unknown."""

    json_schema = OrganizationIDField.json_schema
    default_error_messages = {"type": "Expected {expected}, got {kind}; use the id of one of your organizations."}

    def to_representation(self, value: Any) -> Any:
        return value

    def to_internal_value(self, data: Any) -> Any:
        """Return the key; raise a `Problem` with the same message for every organization that is not found."""
        number = has_whole_number_key()
        if type(data) is not (int if number else str):
            self.fail("type", expected="a whole number" if number else "a string", kind=json_type_of(data))
        self.context["view"].find_organization(data, "pointer", "#/organization")
        return data


class MaskedTextsField(DescribedField):
    """An object of names and texts, of which responses mask the secret ones. In a request, the mask keeps the stored text."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            self.fail("invalid", kind=json_type_of(data))
        return self.stored_value(data, getattr(self.parent, "instance", None))

    def stored_value(self, data: dict[str, Any], webhook: Any) -> Any:
        """Return the value to store, which is the stored one if nothing changes. ``webhook`` is None for a new one.

        Errors name a part of the value, and never repeat it.
        """
        raise NotImplementedError

    def texts_of(self, data: Mapping[str, Any], stored: Mapping[str, str]) -> tuple[dict[str, str], dict[str, Any]]:
        """Return the texts of a request, with the ``stored`` ones in place of masks; and the errors by name, without values."""
        texts: dict[str, str] = {}
        errors: dict[str, Any] = {}
        for name, value in data.items():
            try:
                if value != MASK:
                    if not isinstance(value, str):
                        self.fail("value", kind=json_type_of(value))
                    self.check(name, value)
                elif name not in stored:
                    self.fail("masked")
                texts[name] = stored[name] if value == MASK else value
            except serializers.ValidationError as error:
                errors[name] = error.detail
                if len(errors) == MAX_ERRORS:
                    break
        return texts, errors

    def check(self, name: str, value: str) -> None:
        """Raise ``ValidationError`` for a text that can't be stored under this name. The default accepts all."""


class HeadersField(MaskedTextsField):
    """A webhook's own headers: an object of all names and values. Responses show a mask instead of each value."""

    json_schema = {"type": "object", "additionalProperties": {"type": "string"}}
    default_error_messages = {
        "invalid": _("Expected an object of header names and values, got {kind}."),
        "value": _("Expected a string, got {kind}; leave the header out to remove it."),
        "masked": _("The webhook has no such header to keep; give its value instead of the mask."),
    }

    def to_representation(self, value: Any) -> dict[str, str]:
        """Return the names with a mask for each value, or {} if the headers can't be decrypted."""
        return dict.fromkeys(known_headers(value) or (), MASK)

    def stored_value(self, data: dict[str, Any], webhook: Any) -> Any:
        stored = {} if webhook is None else known_headers(webhook.headers) or {}
        headers, errors = self.texts_of(data, stored)
        if errors:
            raise serializers.ValidationError(errors)
        if webhook is not None and headers == stored:
            return webhook.headers
        lines = "\n".join(f"{name}={value}" for name, value in headers.items())
        validate_header_lines(lines)
        return lines

    def check(self, name: str, value: str) -> None:
        try:
            check_header(name, value)
        except ValidationError as error:
            raise serializers.ValidationError(get_error_detail(error)) from error


class AuthenticationField(MaskedTextsField):
    """How requests authenticate: an object of ``kind`` and all values of that kind. Responses mask the secret values.

    Its source is "*", for two columns: the kind, and the encrypted values.
    """

    json_schema = {
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": list(FIELDS)},
            **{name: {"type": "string"} for name in field_names()},
        },
        "required": ["kind"],
        "additionalProperties": False,
    }
    default_error_messages = {
        "invalid": _("Expected an object with kind and the values of that kind, got {kind}."),
        "kind": _("Expected one of {kinds}."),
        "not_given": _('This value is missing; give it, or "" for an empty one.'),
        "value": _("Expected a string, got {kind}."),
        "masked": _("The webhook has no such value to keep; give the value instead of the mask."),
    }

    def to_representation(self, webhook: Any) -> dict[str, str]:
        """Return kind and values with a mask for each secret; the kind alone if the values can't be decrypted."""
        kind, values = webhook.authentication, webhook.known_credentials()
        return {"kind": kind, **({} if values is None else masked(kind, values))}

    def stored_value(self, data: dict[str, Any], webhook: Any) -> Any:
        given = {**data}
        kind = given.pop("kind", None)
        if not isinstance(kind, str) or kind not in FIELDS:
            raise invalid(["kind"], error=self.error_messages["kind"].format(kinds=", ".join(FIELDS)), code="kind")
        is_same_kind = webhook is not None and webhook.authentication == kind
        known = (webhook.known_credentials() if is_same_kind else None) or {}
        secrets = {name: value for name, value in known.items() if name in secret_names(kind)}
        values, errors = self.texts_of(given, secrets)
        # An empty value is the same as none. A value may be empty, and the body still has to give it.
        values = {name: value for name, value in values.items() if value}
        not_given = [serializers.ErrorDetail(str(self.error_messages["not_given"]), code="not_given")]
        errors |= {field.name: not_given for field in FIELDS[kind] if field.must_be_given and field.name not in data}
        try:
            validate(kind, values)
        except ValidationError as error:
            errors = {**to_drf_detail(error), **errors}
        if errors:
            raise serializers.ValidationError(errors)
        is_kept = is_same_kind and same_values(kind, values, known)
        return {"authentication": kind, "credentials": webhook.credentials if is_kept else to_text(values)}


class ContactsField(serializers.ListField):
    """A list of e-mail addresses, stored as lines."""

    child = StrictCharField(
        max_length=320,
        validators=[EmailValidator("Not a valid e-mail address; write it as ops@example.com.", code="contact")],
    )

    def to_representation(self, data: Any) -> list[str]:
        return lines_of(str(data))

    def to_internal_value(self, data: Any) -> str:  # type: ignore[override]
        lines = "\n".join(super().to_internal_value(data))
        validate_contacts(lines)
        return lines


# The fields that name the API key or user of a webhook.
INTEGRATION = ("integration_kind", "integration_id")

CONTENT_OF_OTHER_FORMAT = "Only the format custom has content; omit it, or choose that format."
"""The error for content that would have no effect."""


class SubscriptionSerializer(StrictModelSerializer):
    """One event name or pattern, with optional filters."""

    id = IDField(source="public_id", read_only=True)

    class Meta:
        model = Subscription
        fields = ("id", *Subscription.CONFIGURED)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Set the values on the subscription, which is not saved; raise ``ValidationError`` if it is then invalid."""
        apply_and_validate(self.instance or Subscription(), attrs)
        return attrs


class SubscriptionListField(serializers.ListSerializer):
    """An optional list of subscriptions, at most ``SUBSCRIPTIONS_LIMIT``. Each request makes one, so the setting may change."""

    def __init__(self, **options: Any) -> None:
        limit = app_settings.SUBSCRIPTIONS_LIMIT
        super().__init__(child=SubscriptionSerializer(), required=False, max_length=limit, **options)


class WebhookSerializer(StrictModelSerializer):
    """A webhook. Its secret is not a field: only three actions return it."""

    id = IDField(source="public_id", read_only=True)
    organization = OrganizationField(source="organization_id")
    headers = HeadersField(required=False)
    authentication = AuthenticationField(source="*", required=False)
    contacts = ContactsField(required=False)
    preset = StrictChoiceField(
        choices=Preset.choices,
        required=False,
        write_only=True,
        help_text="Fill in format, verb, content, contents and the content type for this receiver and the subscribed events.",
    )
    failures = serializers.IntegerField(source="state.failures", read_only=True)
    failing_since = UTCDateTimeField(source="state.failing_since", read_only=True, allow_null=True)
    succeeded_at = UTCDateTimeField(source="state.succeeded_at", read_only=True, allow_null=True)
    paused_until = UTCDateTimeField(source="state.paused_until", read_only=True, allow_null=True)
    held_until = UTCDateTimeField(source="state.held_until", read_only=True, allow_null=True)
    hold_reason = StrictChoiceField(choices=HoldReason.choices, source="state.hold_reason", read_only=True)
    state = serializers.SerializerMethodField()
    health = serializers.SerializerMethodField()
    warnings = serializers.SerializerMethodField()
    subscriptions: Any = SubscriptionListField()

    remedies = {
        "secret": "the server makes it. POST to rotate-secret/ of the webhook for a new one",
        "expires_at": "only a hook has an end. POST to hooks/ to make one",
        "organization": "the organization of a webhook can't change",
        "enabled": "POST to enable/ or disable/ of the webhook",
        "subscriptions": "change them at subscriptions/ of the webhook",
    }

    class Meta:
        model = Webhook
        only_on_create: tuple[str, ...] = ("organization", "enabled", "subscriptions")
        set_by_system = (
            "disabled_reason",
            "disabled_at",
            "failures",
            "failing_since",
            "succeeded_at",
            "paused_until",
            "held_until",
            "hold_reason",
            "created_at",
            "updated_at",
        )
        fields: tuple[str, ...] = (
            "id",
            "organization",
            "name",
            "pull_only",
            "url",
            "verb",
            "headers",
            "authentication",
            "body_signature_header",
            "body_signature_prefix",
            "format",
            "payload",
            "content",
            "contents",
            "preset",
            "audience",
            "include_children",
            "skip_own",
            "integration_kind",
            "integration_id",
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
            "health",
            "warnings",
            *set_by_system,
        )
        read_only_fields = set_by_system

    def get_fields(self) -> dict[str, Any]:
        """Return the fields; for an existing webhook, some are read-only. A new one needs a URL unless it is pull-only."""
        fields: dict[str, Any] = super().get_fields()
        data = getattr(self, "initial_data", None)
        if isinstance(data, Mapping) and data.get("pull_only") is not True:
            fields["url"].required = True
        if isinstance(self.instance, Webhook):
            for name in self.Meta.only_on_create:
                fields[name].read_only = True
        return fields

    def to_representation(self, instance: Webhook) -> dict[str, Any]:
        """Return the webhook, without a hold that has ended.

        Of the URL's query, callers who may not manage it get no values that look like secrets.
        """
        data: dict[str, Any] = super().to_representation(instance)
        if not instance.state.is_held(timezone.now()):
            # The columns of a hold that has ended stay until the next one.
            data |= {"held_until": None, "hold_reason": ""}
        masked = instance.masked_url
        if masked != instance.url and not self.context["view"].allows(Action.MANAGE, instance.organization_id):
            data["url"] = masked
        return data

    @extend_schema_field(WordField(WEBHOOK_STATES))
    def get_state(self, webhook: Webhook) -> str:
        """Return ``enabled``, ``held`` (temporarily, without failures), ``paused`` (temporarily, after failures) or ``disabled``."""
        return webhook.status(timezone.now())

    @extend_schema_field(WordField(Health, component="Health"))
    def get_health(self, webhook: Webhook) -> str:
        """Return the health in one word."""
        health: Health = self.context["view"].health_of(webhook)
        return health.value

    def get_warnings(self, webhook: Webhook) -> list[str]:
        """Return a sentence for each token that is empty in some of the subscribed events; it is sent anyway.

        Outside of lists, a filter with ids that no object of the organization has gets a sentence, too.
        """
        warnings = rendering.warnings_for(webhook, [one.event_type for one in webhook.subscriptions.all()])
        if isinstance(self.parent, serializers.ListSerializer):
            return warnings  # Each webhook of a list would take queries of its own.
        return [*warnings, *(unknown_ids_warning(name, ids) for name, ids in unknown_filter_ids(webhook))]

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Validate the webhook as it would be, and its content and URL for the events that it subscribes to."""
        if isinstance(self.instance, Webhook):
            self._refuse_kept_secrets(self.instance, attrs)
        else:
            # A new webhook belongs to the caller, unless the request names another integration.
            caller = self.context["view"].actor
            if caller.kind in INTEGRATIONS and caller.id and not any(attrs.get(name) for name in INTEGRATION):
                attrs |= dict(zip(INTEGRATION, (caller.kind, caller.stored_id), strict=True))
        row = copy.copy(self.instance) if isinstance(self.instance, Webhook) else Webhook()
        patterns = self.patterns_of(attrs)
        if preset := attrs.pop("preset", None):
            if both := sorted({"format", "verb", "content", "contents"}.intersection(attrs)):
                message = f"The preset fills in {', '.join(both)}; leave out either the preset or these fields."
                raise invalid(["preset"], error=message, code="preset")
            tried = Webhook(**{name: attrs.get(name, getattr(row, name)) for name in ("payload", "headers")})
            try:
                attrs |= rendering.preset_values(preset, tried, patterns)
            except SecretError as error:
                message = "The stored headers can't be decrypted; give them again."
                raise invalid(["headers"], error=message, code="headers") from error
        if attrs.get("format", row.format) != PayloadFormat.CUSTOM:
            # Stored content may be sent back.
            new = [name for name in ("content", "contents") if attrs.get(name) and attrs[name] != getattr(row, name)]
            if new:
                raise invalid(*([name] for name in new), error=CONTENT_OF_OTHER_FORMAT, code="format")
        self.validate_row(row, attrs, patterns)
        return attrs

    def patterns_of(self, values: Mapping[str, Any]) -> list[str]:
        """Return the event names and patterns of the webhook with these values; refuse equal subscriptions."""
        if "subscriptions" in values:
            if repeated := duplicates(Subscription(**one) for one in values["subscriptions"]):
                errors = {str(index): to_drf_detail(error) for index, error in repeated.items()}
                raise serializers.ValidationError({"subscriptions": errors})
            return [one["event_type"] for one in values["subscriptions"]]
        return [one.event_type for one in self.instance.subscriptions.all()] if self.instance else []

    def validate_row(self, row: Webhook, values: Mapping[str, Any], patterns: Iterable[str]) -> None:
        """Set these values on an unsaved webhook; raise ``ValidationError`` if it is then invalid for its events."""
        values = {name: value for name, value in values.items() if name != "subscriptions"}
        apply_and_validate(row, values, lambda: rendering.problems_for(row, patterns))

    def _refuse_kept_secrets(self, webhook: Webhook, attrs: Mapping[str, Any]) -> None:
        """Raise ``ValidationError`` if stored values that the caller may not know would be sent to another receiver."""
        url = attrs.get("url", webhook.url)
        headers, values = (
            {name for name, value in self.initial_data.get(group, {}).items() if value != MASK}
            for group in ("headers", "authentication")
        )
        kept: list[tuple[str, str]] = []
        if not is_same_receiver(webhook.url, url):
            sent = known_headers(attrs.get("headers", webhook.headers)) or ()
            kept += [("headers", name) for name in sent if name not in headers]
        kind, before = attrs.get("authentication", webhook.authentication), webhook.known_credentials()
        if before is not None and kind == webhook.authentication:
            after = from_text(reveal(attrs["credentials"])) if "credentials" in attrs else before
            secrets = withheld(kind, before, after, given=values, receivers=(webhook.url, url))
            kept += [("authentication", name) for name in secrets]
        if kept:
            message = "The new URL is another receiver; give this value again, or leave it out."
            raise invalid(*kept, error=message, code="new_receiver")


class WebhookUpdateSerializer(WebhookSerializer):
    """The fields of an existing webhook that can be changed."""

    def get_fields(self) -> dict[str, Any]:
        return {name: field for name, field in super().get_fields().items() if name not in self.Meta.only_on_create}


class CreatedWebhookSerializer(WebhookSerializer):
    """A new webhook with its secret, which is null in the stored response that a repeated request gets."""

    secret = serializers.RegexField("^whsec_", allow_null=True)

    class Meta(WebhookSerializer.Meta):
        fields: tuple[str, ...] = (*WebhookSerializer.Meta.fields, "secret")


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

    id = IDField(source="public_id", read_only=True)
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
