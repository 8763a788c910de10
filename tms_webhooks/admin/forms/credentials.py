"""The secrets in the form of a webhook: lines of headers, and the authentication, with dots in place of stored values.

Of the authentication, only the values of the selected kind count; a script hides the others. A form with errors comes back
as it was posted, without the secrets, which are to be entered again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator
from django.utils.translation import gettext_lazy as _

from tms_webhooks.admin.forms.fields import TrimmedTextField
from tms_webhooks.choices import ClientAuthentication
from tms_webhooks.models import Webhook
from tms_webhooks.models.credentials import (
    FIELDS,
    CredentialField,
    masked,
    same_values,
    secret_names,
    to_text,
    validate,
    withheld,
)
from tms_webhooks.net.urls import MASK
from tms_webhooks.validators import HEADER_NAME

LONGEST_HEADERS = 32_768
"""Characters of all header lines."""
AGAIN = "…"
"""In place of a header's value that is to be entered again. HTTP can't carry it."""
PREFIX = "auth_"
"""Begins the names of the fields of the authentication."""
SECRET_HELP = _("Encrypted and never shown again. Leave the dots to keep the value, or replace them.")


# Headers


class HeaderLinesInput(forms.Textarea):
    """A text area of header lines. No value is on the page: dots stand for a stored one, and `AGAIN` for one that was typed."""

    def format_value(self, value: Any) -> str:
        lines = [
            (name, equals, AGAIN if is_entered(text) else text)
            for name, equals, text in _split(value or "")
            # Other text may hold a value: a line has no name, or a colon after it.
            if name == MASK or (equals and HEADER_NAME.fullmatch(name))
        ]
        return "\n".join(map("".join, lines))


class HeaderLinesField(TrimmedTextField):
    """The text area of header lines. The form replaces the dots with values: see `unmask`."""

    widget = HeaderLinesInput
    # Without an attribute of the text area, which would cut a pasted text silently.
    default_validators = [MaxLengthValidator(LONGEST_HEADERS)]


def _split(text: str) -> list[list[str]]:
    """Return the name, the equals sign and the value of each line."""
    return [[part.strip() for part in line.partition("=")] for line in text.split("\n")]


def is_entered(value: str) -> bool:
    """Return whether a user entered the value of a line."""
    return value not in ("", MASK, AGAIN)


def has_entered(text: str) -> bool:
    """Return whether a user entered the value of a header in these lines."""
    return any(is_entered(value) for _name, _equals, value in _split(text))


def mask(headers: Mapping[str, str] | None) -> str:
    """Return header lines with dots as values; unreadable headers are dots alone."""
    return MASK if headers is None else "\n".join(f"{name}={MASK}" for name in headers)


def unmask(text: str, known: Mapping[str, str], *, is_elsewhere: bool) -> str:
    """Return header lines with the known values in place of the dots. Other errors are left to the validators.

    Raise `ValidationError` for dots without a known value, and for dots that were edited. Also for all dots if the URL
    ``is_elsewhere``: a user who may change it could otherwise send the values to a receiver of their own.
    """
    values = {name.lower(): value for name, value in known.items()}
    lines, problems = [], []
    for number, (name, equals, value) in enumerate(_split(text), start=1):
        problem = None
        if value == AGAIN:
            problem = _("Line %(line)d: enter the value of %(name)s again.")
        elif MASK[0] not in name + value:
            lines.append(name + equals + value)
        elif value != MASK:
            problem = _("Line %(line)d: leave the dots as they are, or replace them all.")
        elif name.lower() not in values:
            problem = _("Line %(line)d: the header %(name)s has no stored value. Replace the dots with its value.")
        elif is_elsewhere:
            problem = _(
                "Line %(line)d: the URL is that of another receiver. Enter the value of %(name)s again, or remove the line."
            )
        else:
            lines.append(f"{name}={values[name.lower()]}")
        if problem:
            problems.append(ValidationError(problem, code="mask", params={"line": number, "name": name}))
    if problems:
        raise ValidationError(problems)
    return "\n".join(lines)


# Authentication


class SecretInput(forms.TextInput):
    """An input that hides its text. Its value is never on the page: dots stand for a stored one."""

    input_type = "password"

    def format_value(self, value: Any) -> str | None:
        return MASK if value == MASK else None


def _form_field(kind: str, field: CredentialField) -> forms.Field:
    # The script finds the rows of a kind by this attribute.
    attributes = {
        "data-tms-authentication": str(kind),
        "autocomplete": "new-password" if field.is_secret else "off",
        "spellcheck": "false",
    }
    help_text = SECRET_HELP if field.is_secret else field.help_text
    options: dict[str, Any] = {"label": field.label, "required": False, "help_text": help_text}
    if field.name == "client_authentication":
        choices = ClientAuthentication.choices
        return forms.ChoiceField(choices=choices, widget=forms.Select(attributes), initial=field.default, **options)
    widget = (SecretInput if field.is_secret else forms.TextInput)({**attributes, "class": "vTextField"})
    return forms.CharField(widget=widget, strip=not field.is_secret, **options)


CREDENTIAL_FIELDS = {PREFIX + field.name: _form_field(kind, field) for kind in FIELDS for field in FIELDS[kind]}
"""The fields of the form by name, in their order on the page."""

if TYPE_CHECKING:
    _Fields = forms.Form
else:
    _Fields = type("_Fields", (forms.Form,), dict(CREDENTIAL_FIELDS))


class CredentialsForm(_Fields):
    """The part of a webhook's form that reads and validates its authentication."""

    instance: Webhook

    known_credentials: Mapping[str, str] | None
    """The stored values, or None if they can't be read."""
    are_credentials_changed = False
    """Whether the form has other credentials than the webhook. Known once the form is clean."""

    def show_credentials(self) -> None:
        """Set the initial values: those stored, with dots for secrets."""
        # Before the form sets the new one.
        self._stored_kind = kind = self.instance.authentication
        self.known_credentials = known = self.instance.known_credentials()
        # Of unreadable ones, dots stand for each secret.
        values = dict.fromkeys(secret_names(kind), MASK) if known is None else known
        self.initial.update({PREFIX + name: value for name, value in masked(kind, values).items()})

    def clean_credentials(self, url: str) -> None:
        """Set the webhook's credentials from the fields of the selected kind, or add an error to each wrong one."""
        kind = self.cleaned_data.get("authentication")
        if kind is None:
            return
        is_same = kind == self._stored_kind
        values = {field.name: str(self.cleaned_data.get(PREFIX + field.name) or "") for field in FIELDS[kind]}
        dots = [name for name in secret_names(kind) if values[name] == MASK]
        if is_same and self.known_credentials is None and len(dots) == len(secret_names(kind)):
            return  # Unreadable credentials stay as they are.
        before = dict(self.known_credentials or {}) if is_same else {}
        given = values.keys() - dots
        values |= {name: before.get(name, "") for name in dots}
        problems: dict[str, Any] = {}
        receivers = (str(self.initial.get("url", "")), url)
        for name in withheld(kind, before, values, given=given, receivers=receivers):
            problems[name] = _("The URL is that of another receiver. Enter the value again.")
        try:
            validate(kind, {name: value for name, value in values.items() if value})
        except ValidationError as error:
            problems |= error.error_dict
        for name, problem in problems.items():
            if PREFIX + name not in self.errors:
                self.add_error(PREFIX + name, problem)
        if any(PREFIX + name in self.errors for name in values):
            # The webhook keeps its old authentication, whose credentials it has.
            del self.cleaned_data["authentication"]
        elif not is_same or not same_values(kind, before, values):
            self.are_credentials_changed = True
            self.instance.credentials = to_text(values)
