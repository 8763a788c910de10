"""The form of a document: the API's serializer of a webhook, with external ids and environment variables."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

from tms_webhooks.api.serializers.base import (
    InvalidValues,
    StrictCharField,
    StrictChoiceField,
    StrictSerializer,
    nested,
)
from tms_webhooks.api.serializers.webhook_fields import OrganizationField
from tms_webhooks.api.serializers.webhooks import WebhookSerializer
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery.signing import secret_key
from tms_webhooks.exceptions import WebhooksError
from tms_webhooks.models import Subscription, Webhook
from tms_webhooks.models.credentials import secret_names
from tms_webhooks.sources.paths import column_at

VERSION = 1
"""The version of the document's format that this release reads and writes."""


class DocumentError(WebhooksError, ValueError):
    """A document that can't be imported or written. ``problems`` are sentences that begin with their place in it."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Variable(str):
    """The value of an environment variable that a document names."""


class DocumentRow(NamedTuple):
    """One webhook of a document: the stored one with its identity, or None, and what it is to be."""

    stored: Webhook | None
    label: str
    values: dict[str, Any]
    subscriptions: list[Subscription]
    enabled: bool | None
    secret: str | None


def organization_key() -> str:
    """Return the lookup that identifies an organization in documents: its external id, or ``pk`` if it has none."""
    model: Any = Webhook._meta.get_field("organization").related_model
    path = app_settings.ORGANIZATION_FIELDS.get("external_id", "external_id")
    is_column = isinstance(path, str) and path and column_at(model, path) is not None
    return path.replace(".", "__") if is_column else "pk"


class OrganizationKeyField(OrganizationField):
    """The key of one of the ``organizations`` in the context, by its external id."""

    def to_internal_value(self, data: Any) -> Any:
        organizations = self.context["organizations"]
        if not isinstance(data, int | str) or data not in organizations:
            word = organization_key().replace("_", " ")
            text = f"Not exactly one organization has the {word} {data!r}. Is this document from another environment?"
            raise InvalidValues(text)
        return organizations[data]


class FileSerializer(WebhookSerializer):
    """The values of a webhook that a user sets, with its subscriptions, as a `DocumentRow`.

    One serializer serves all webhooks of a document, because its fields take long to build.
    """

    organization = OrganizationKeyField(source="organization_id")
    secret = StrictCharField(required=False)

    read_only_remedies = {"id": "remove it, because ids differ between environments"}

    class Meta(WebhookSerializer.Meta):
        fields = (*WebhookSerializer.Meta.fields, "secret")

    @cached_property
    def standard(self) -> dict[str, Any]:
        """The values of a new webhook with one new subscription."""
        return self.represent(Webhook(), [Subscription()])

    def represent(self, webhook: Webhook, subscriptions: Iterable[Subscription] = ()) -> dict[str, Any]:
        """Return the values of a webhook, with a mask for each secret one."""
        values: dict[str, Any] = {}
        for field in self._writable_fields:
            if field.field_name not in {"organization", "subscriptions", "secret"}:
                value = field.get_attribute(webhook)
                values[str(field.field_name)] = None if value is None else field.to_representation(value)
        rows = self.fields["subscriptions"].to_representation(subscriptions)
        return {**values, "subscriptions": [{name: row[name] for name in Subscription.CONFIGURED} for row in rows]}

    def get_fields(self) -> dict[str, Any]:
        """Return the fields of a request that creates a webhook; all of them can be changed later, too."""
        fields = super().get_fields()
        del fields["preset"]
        for name in self.Meta.only_on_create:
            fields[name].read_only = False
        return fields

    def run_validation(self, data: Any = None) -> DocumentRow:
        """Return the row; raise ``ValidationError`` with all errors. Missing keys have their defaults."""
        given = {name: value for name, value in data.items() if value is not None} if isinstance(data, Mapping) else {}
        organization, name = given.get("organization"), given.get("name")
        key = self.context["organizations"].get(organization) if isinstance(organization, int | str) else None
        found = self.context["stored"].get((key, name), ()) if isinstance(name, str) else ()
        if len(found) > 1:
            raise InvalidValues({"name": ["Several webhooks of the organization have this name; rename all but one."]})
        if (key, name) in self.context["named"]:
            raise InvalidValues({"name": ["The document has another webhook with this name and organization."]})
        self.context["named"].append((key, name))
        _refuse_literals({"secret": given.get("secret")}, {"secret"})
        for group in ("headers", "authentication"):
            if isinstance(values := given.get(group), dict):
                secret = values if group == "headers" else secret_names(str(values.get("kind")))
                _refuse_literals(values, secret, group)
        self.instance = found[0] if found else None
        standard = {**self.standard, "subscriptions": [], "headers": {}, "authentication": {"kind": "none"}}
        if self.context["keep_secrets"]:
            for kept in ("headers", "authentication", "secret"):
                standard.pop(kept, None)
                given.pop(kept, None)
        del standard["enabled"]
        valid = super().run_validation({**standard, **given} if isinstance(data, Mapping) else data)
        return DocumentRow(
            self.instance,
            f"{organization} / {name}",
            secret=valid.pop("secret", None),
            enabled=valid.pop("enabled", None),
            subscriptions=[Subscription(**one) for one in valid.pop("subscriptions")],
            values=valid,
        )

    def validate_secret(self, value: str) -> str:
        """Reject a value that is no signing secret."""
        try:
            secret_key(value)
        except ValueError as error:
            # Without the cause, which could hold the value.
            raise InvalidValues(f"This is no signing secret. {error}") from None
        return value

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Validate the webhook as it would be. A document may keep headers and credentials although the URL changes."""
        row = {name: value for name, value in attrs.items() if name != "secret"}
        self.validate_row(copy.copy(self.instance or Webhook()), row, self.patterns_of(attrs))
        return attrs


def _refuse_literals(values: Mapping[str, Any], secret: Iterable[str], *group: str) -> None:
    """Raise ``ValidationError`` for secret values that stand in the document itself."""
    text = "Write {env: VARIABLE}; a document must not contain secrets."
    literal = [name for name in secret if values.get(name) and not isinstance(values[name], Variable)]
    if literal:
        raise InvalidValues(nested(((*group, name), text, "literal") for name in literal))


class DocumentSerializer(StrictSerializer):
    """A whole document."""

    version = StrictChoiceField(choices=[VERSION])
    webhooks = FileSerializer(many=True)
