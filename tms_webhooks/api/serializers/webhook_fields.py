"""The fields of a webhook that need their own representation: organization, headers, authentication and contacts.

The table stores headers and contacts as lines of text; the API shows an object and a list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from tms_webhooks.api.problems import MAX_ERRORS, unknown_reference
from tms_webhooks.api.serializers.base import (
    MAX_UNKNOWN_FIELDS,
    DescribedField,
    OrganizationIDField,
    Schema,
    StrictCharField,
    StrictListField,
    invalid,
    json_type_of,
    to_drf_detail,
)
from tms_webhooks.choices import Action, AuthenticationKind
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
from tms_webhooks.models.encryption import MASK
from tms_webhooks.models.organization import has_whole_number_key
from tms_webhooks.validators import parse_headers, refuse_contacts, refuse_headers, validate_contacts


class OrganizationField(DescribedField, serializers.PrimaryKeyRelatedField):
    """An organization by the host's primary key. An organization that the caller may not view is unknown."""

    json_schema = OrganizationIDField.json_schema
    default_error_messages = {
        "null": "Expected an organization, got null; use the id of one of yours.",
        "required": "This field is required; use the id of one of your organizations.",
        "type": "Expected {expected}, got {kind}; use the id of one of your organizations.",
    }

    def get_queryset(self) -> Any:
        """Return the organizations that the caller may view."""
        return self.context["view"].organizations(Action.VIEW)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        """Return the organization; reject "", which Django REST framework would treat as null."""
        return self.to_internal_value(data) if data == "" else super().run_validation(data)

    def to_internal_value(self, data: Any) -> Any:
        """Return the organization; reject a value that is no key of the host's organizations before it is looked up."""
        number = has_whole_number_key()
        if isinstance(data, bool) or not isinstance(data, int if number else str):
            words = "a whole number" if number else "a string"
            self.fail("type", expected=words, kind=json_type_of(data))
        try:
            return super().to_internal_value(data)
        except ValidationError:
            return self.fail("does_not_exist")

    def fail(self, key: str, **kwargs: Any) -> Any:
        """Raise a `Problem` with the same message for every organization that is not found."""
        if key in {"does_not_exist", "incorrect_type"}:
            raise unknown_reference("pointer", "#/organization", "Unknown organization; use the id of one of yours.")
        super().fail(key, **kwargs)


class MaskedTextsField(DescribedField):
    """An object of names and texts, of which responses mask the secret ones.

    A change merges into the stored texts: a string sets a text, null removes it, and the mask or a missing name keeps it.
    """

    most_errors = MAX_ERRORS

    def merge(
        self,
        texts: dict[str, str],
        data: Mapping[str, Any],
        *,
        key: Callable[[str], str],
        is_secret: Callable[[str], bool],
    ) -> dict[str, Any]:
        """Merge ``data`` into ``texts``, where names with the same key are the same. Return the errors by name, without values."""
        names = {key(name): name for name in texts}
        errors: dict[str, Any] = {}
        for name, value in data.items():
            present = names.get(key(name))
            try:
                if value == MASK and is_secret(name):
                    if present is None:
                        self.fail("masked")
                    continue
                if value is not None and not isinstance(value, str):
                    self.fail("value", kind=json_type_of(value))
                if present is not None:
                    del texts[present], names[key(name)]
                if value is not None:
                    self.check(name, value)
                    texts[name] = value
                    names[key(name)] = name
            except serializers.ValidationError as error:
                errors[name] = error.detail
                if len(errors) == self.most_errors:
                    break
        return errors

    def check(self, name: str, value: str) -> None:
        """Raise ``ValidationError`` for a text that can't be stored under this name. The default accepts all."""


class HeadersField(MaskedTextsField):
    """A webhook's own headers: an object of names and values. Responses show a mask instead of each value."""

    most_errors = MAX_UNKNOWN_FIELDS
    # The codes of `parse_headers`, with messages for objects instead of lines.
    default_error_messages = {
        "invalid": _("Expected an object of header names and values, got {kind}."),
        "null": _("Expected an object of header names and values, got null; omit the field or give an object."),
        "value": _("Expected a string, or null to remove the header; got {kind}."),
        "masked": _("The webhook has no such header to keep; give its value instead of the mask."),
        "header_name": _("Not a valid header name; use letters, digits and hyphens only."),
        "header_forbidden": _("The system sets this header; remove it here."),
        "header_control_character": _("The value contains a control character; remove it."),
        "header_not_latin1": _("The value contains a character outside Latin-1; encode it."),
    }

    def schema_for(self, *, is_request: bool, is_change: bool) -> Schema:
        """Return the schema: null removes a header in a request."""
        return {"type": "object", "additionalProperties": _text(is_request=is_request)}

    def to_representation(self, value: Any) -> dict[str, str]:
        """Return the names with a mask for each value, or {} if the headers can't be decrypted."""
        return dict.fromkeys(known_headers(value) or (), MASK)

    def to_internal_value(self, data: Any) -> Any:
        """Return the merged lines to store, or the stored token if nothing changes.

        Errors name the header and never repeat its value.
        """
        if not isinstance(data, dict):
            self.fail("invalid", kind=json_type_of(data))
        webhook = getattr(self.parent, "instance", None)
        stored = {} if webhook is None else known_headers(webhook.headers) or {}
        given = sum(value not in (None, MASK) for value in data.values())
        if given > len(stored):
            refuse_headers(given)
        headers = dict(stored)
        errors = self.merge(headers, data, key=str.lower, is_secret=lambda name: True)
        if errors:
            raise serializers.ValidationError(errors)
        if webhook is not None and headers == stored:
            return webhook.headers
        if len(headers) > len(stored):
            refuse_headers(len(headers))
        return "\n".join(f"{name}={value}" for name, value in headers.items())

    def check(self, name: str, value: str) -> None:
        if "\n" in value or "\r" in value:
            self.fail("header_control_character")
        try:
            parsed = parse_headers(f"{name}={value}", custom_body=True)
        except ValidationError as error:
            code = str(error.error_list[0].code)
            self.fail(code if code in self.error_messages else "header_name")
        # A name that contains "=" would be parsed as another name.
        if list(parsed) != [name]:
            self.fail("header_name")


class AuthenticationField(MaskedTextsField):
    """How requests authenticate: an object of ``kind`` and the values of that kind. Responses mask the secret values.

    A change merges into the stored values of the same kind. A missing kind keeps the stored one. Another kind begins
    without values.
    """

    default_error_messages = {
        "invalid": _("Expected an object with kind and the values of that kind, got {kind}."),
        "null": _('Expected an object, got null; write {{"kind": "none"}} for no authentication.'),
        "kind": _("Expected one of {kinds}."),
        "kind_missing": _("kind is missing; write one of {kinds}."),
        "not_given": _('This value is missing; give it, or "" for an empty one.'),
        "value": _("Expected a string, or null to remove the value; got {kind}."),
        "masked": _("The webhook has no such value to keep; give the value instead of the mask."),
    }

    def __init__(self, **kwargs: Any) -> None:
        # Two columns: the kind, and the encrypted values.
        super().__init__(**{"source": "*", **kwargs})

    def schema_for(self, *, is_request: bool, is_change: bool) -> Schema:
        """Return the schema: each kind has some of the values. A change without a kind keeps the stored one."""
        return {
            "type": "object",
            "properties": {
                "kind": {"type": "string", "enum": list(FIELDS)},
                **{name: _text(is_request=is_request) for name in field_names()},
            },
            **({} if is_change else {"required": ["kind"]}),
            "additionalProperties": False,
        }

    def to_representation(self, webhook: Any) -> dict[str, str]:
        """Return kind and values with a mask for each secret; the kind alone if the values can't be decrypted."""
        kind, values = webhook.authentication, webhook.known_credentials()
        return {"kind": kind, **({} if values is None else masked(kind, values))}

    def to_internal_value(self, data: Any) -> Any:
        """Return the columns to store; the stored token if nothing changes. Errors name the value and never repeat it."""
        if not isinstance(data, dict):
            self.fail("invalid", kind=json_type_of(data))
        stored = getattr(self.parent, "instance", None)
        kind = self._kind_of(data, stored)
        webhook = stored if stored is not None and stored.authentication == kind else None
        known = None if webhook is None else webhook.known_credentials()
        values = dict(known or {})
        # An empty value is the same as none.
        given = {name: value for name, value in data.items() if name != "kind" and (value != "" or name in values)}
        errors = self.merge(values, given, key=str, is_secret=secret_names(kind).__contains__)
        try:
            validate(kind, values)
        except ValidationError as error:
            errors = {**to_drf_detail(error), **errors}
        # A value may be empty, and the body still has to give it.
        not_given = [serializers.ErrorDetail(str(self.error_messages["not_given"]), code="not_given")]
        required = (field.name for field in FIELDS[kind] if field.must_be_given)
        missing = [name for name in required if (data[name] is None if name in data else known is None)]
        errors = {**dict.fromkeys(missing, not_given), **errors}
        if errors:
            raise serializers.ValidationError(errors)
        if webhook is not None and same_values(kind, values, known or {}):
            return {"authentication": kind, "credentials": webhook.credentials}
        return {"authentication": kind, "credentials": to_text(values)}

    def _kind_of(self, data: dict[str, Any], stored: Any) -> str:
        """Return the kind of a body, or the stored one if it names none; raise ``ValidationError`` for an invalid one."""
        if "kind" not in data and stored is not None and stored.authentication != AuthenticationKind.NONE:
            return str(stored.authentication)
        kind, kinds = data.get("kind"), ", ".join(FIELDS)
        if not isinstance(kind, str) or kind not in FIELDS:
            message = str(self.error_messages["kind" if "kind" in data else "kind_missing"])
            raise invalid(["kind"], error=message.format(kinds=kinds), code="kind")
        return kind


class ContactsField(StrictListField):
    """A list of e-mail addresses, stored as lines."""

    default_error_messages = {"not_a_list": "Expected a list of strings."}
    child = StrictCharField(
        max_length=320,
        validators=[EmailValidator("Not a valid e-mail address; write it as ops@example.com.", code="contact")],
    )

    def to_representation(self, data: Any) -> list[str]:
        return [line.strip() for line in str(data).splitlines() if line.strip()]

    def to_internal_value(self, data: Any) -> str:  # type: ignore[override]
        if isinstance(data, list):
            refuse_contacts(len(data))
        lines = "\n".join(super().to_internal_value(data))
        validate_contacts(lines)
        return lines


def _text(*, is_request: bool) -> Schema:
    """Return the schema of a text, which null removes in a request."""
    return {"type": ["string", "null"]} if is_request else {"type": "string"}
