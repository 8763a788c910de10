"""What the tables keep as lines of text, and the API shows as objects and lists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator
from django.utils.translation import gettext_lazy as _
from rest_framework import serializers

from tms_webhooks.api.serializers.fields import ListOfField, TextField, kind_of
from tms_webhooks.exceptions import SecretError
from tms_webhooks.models.encryption import MASK, reveal
from tms_webhooks.validators import parse_headers

# Its class is generic for the type checker alone.
if TYPE_CHECKING:
    _Field = serializers.Field[Any, Any, Any, Any]
else:
    _Field = serializers.Field


class HeadersField(_Field):
    """A webhook's own headers: an object of names and values, whose values are never shown again.

    What goes in is merged into what is there: a name with a value sets it, one with null removes it, one with the mask
    leaves it alone, and so does not naming it.
    """

    # By the codes of `parse_headers`, which speaks of lines.
    default_error_messages = {
        "invalid": _("It is {kind}; give an object of header names and values."),
        "null": _("It is null; give an object of header names and values, or leave it out."),
        "value": _("It is {kind}; give a string, or null to remove the header."),
        "masked": _("There is no such header to keep; give its value instead of the dots."),
        "header_name": _("It is no header name; use letters, digits and hyphens only."),
        "header_forbidden": _("It is set by the system and can't be replaced; leave it out."),
        "header_control_character": _("Its value holds a control character; leave that out."),
        "header_not_latin1": _("Its value holds a character that HTTP can't carry; use Latin-1, or encode it."),
    }

    def to_representation(self, value: Any) -> dict[str, str]:
        """Return the names, with a mask for each value; nothing where they can't be decrypted."""
        return dict.fromkeys(stored_headers(value), MASK)

    def to_internal_value(self, data: Any) -> Any:
        """Return the lines to store, or what is stored where nothing changes.

        What is wrong with a header is told by its name, never by its value.
        """
        if not isinstance(data, dict):
            self.fail("invalid", kind=kind_of(data))
        webhook = getattr(self.parent, "instance", None)
        stored = {} if webhook is None else stored_headers(webhook.headers)
        headers = dict(stored)
        errors: dict[str, Any] = {}
        for name, value in data.items():
            try:
                self._merge(headers, name, value)
            except serializers.ValidationError as error:
                errors[name] = error.detail
        if errors:
            raise serializers.ValidationError(errors)
        if webhook is not None and headers == stored:
            return webhook.headers
        return "\n".join(f"{name}={value}" for name, value in headers.items())

    def _merge(self, headers: dict[str, str], name: str, value: Any) -> None:
        present = next((other for other in headers if other.lower() == name.lower()), None)
        if value == MASK and present is None:
            self.fail("masked")
        if value == MASK:
            return
        if value is not None and not isinstance(value, str):
            self.fail("value", kind=kind_of(value))
        if present is not None:
            del headers[present]
        if value is not None:
            headers.update(self._checked(name, value))

    def _checked(self, name: str, value: str) -> dict[str, str]:
        if "\n" in value or "\r" in value:
            self.fail("header_control_character")
        try:
            parsed = parse_headers(f"{name}={value}", custom_body=True)
        except ValidationError as error:
            code = str(error.error_list[0].code)
            self.fail(code if code in self.error_messages else "header_name")
        # A name with "=" in it would be another one.
        if list(parsed) != [name]:
            self.fail("header_name")
        return parsed


class ContactsField(ListOfField):
    """A list of e-mail addresses that is kept as lines."""

    default_error_messages = {"not_a_list": "It is no list; give a list of strings."}
    child = TextField(
        max_length=320,
        validators=[EmailValidator("It is no e-mail address; write it as ops@example.com.", code="contact")],
    )

    def to_representation(self, data: Any) -> list[str]:
        """Return the lines that hold something."""
        return [line.strip() for line in str(data).splitlines() if line.strip()]

    def to_internal_value(self, data: Any) -> str:  # type: ignore[override]
        """Return the lines."""
        return "\n".join(super().to_internal_value(data))


def stored_headers(lines: Any) -> dict[str, str]:
    """Return a webhook's headers; nothing where they can't be decrypted."""
    try:
        return parse_headers(reveal(lines), custom_body=True)
    except (SecretError, ValidationError):
        return {}
