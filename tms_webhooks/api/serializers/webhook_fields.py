"""The fields of a webhook that need their own representation: organization, headers, authentication and contacts.

The table stores headers and contacts as lines of text; the API shows an object and a list.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers
from rest_framework.fields import get_error_detail

from tms_webhooks.api.problems import MAX_ERRORS
from tms_webhooks.api.serializers.base import (
    DescribedField,
    OrganizationIDField,
    StrictCharField,
    invalid,
    json_type_of,
    to_drf_detail,
)
from tms_webhooks.models.credentials import (
    FIELDS,
    field_names,
    known_headers,
    masked,
    same_values,
    secret_names,
    to_text,
    validate,
)
from tms_webhooks.models.notification import lines_of
from tms_webhooks.models.organization import has_whole_number_key
from tms_webhooks.net.urls import MASK
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
            check_header(name, value, custom_body=True)
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
