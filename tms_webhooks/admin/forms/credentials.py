"""The authentication of a webhook in its form: one field for each value of each kind, with dots for stored secrets.

Only the values of the selected kind count; a script hides the others. The form never returns an entered secret in clear
text. If it has errors, secrets are replaced by dots, and sent back encrypted in a hidden field
(`tms_webhooks.admin.forms.headers`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.core.exceptions import ValidationError
from django.utils.functional import cached_property
from django.utils.translation import gettext, gettext_lazy

from tms_webhooks.admin.forms import headers
from tms_webhooks.admin.forms.fields import HiddenTextField
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
from tms_webhooks.models.encryption import MASK

PREFIX = "auth_"
"""Begins the names of these fields in the form."""
SECRET_HELP = gettext_lazy("Encrypted and never shown again. Leave the dots to keep the value, or replace them.")


def _form_field(kind: str, field: CredentialField) -> forms.Field:
    # The script finds the rows of a kind by this attribute.
    attributes = {"data-tms-authentication": str(kind), "autocomplete": "off", "spellcheck": "false"}
    help_text = SECRET_HELP if field.is_secret else field.help_text
    options: dict[str, Any] = {"label": field.label, "required": False, "help_text": help_text}
    if field.name == "client_authentication":
        choices = ClientAuthentication.choices
        return forms.ChoiceField(choices=choices, widget=forms.Select(attributes), initial=field.default, **options)
    widget = forms.TextInput({**attributes, "class": "vTextField"})
    return forms.CharField(widget=widget, strip=not field.is_secret, **options)


if TYPE_CHECKING:
    _Fields = forms.Form
else:
    _Fields = type(
        "_Fields",
        (forms.Form,),
        {PREFIX + field.name: _form_field(kind, field) for kind, fields in FIELDS.items() for field in fields},
    )

FIELD_NAMES = tuple(PREFIX + field.name for fields in FIELDS.values() for field in fields)
"""The names of the form fields, in their order on the page."""


class CredentialsForm(_Fields):
    """The part of a webhook's form that reads and validates its authentication."""

    user: ClassVar[object]
    instance: Webhook

    credentials_kept = HiddenTextField(required=False)

    def show_credentials(self) -> None:
        """Set the initial values: those stored, with dots for secrets."""
        kind = self.instance.authentication
        # Of unreadable ones, dots stand for each secret.
        known = self.known_credentials
        values = dict.fromkeys(secret_names(kind), MASK) if known is None else known
        self.initial.update({PREFIX + name: value for name, value in masked(kind, values).items()})

    @cached_property
    def known_credentials(self) -> Mapping[str, str] | None:
        """The stored values, or None if they can't be read."""
        return self.instance.known_credentials()

    @cached_property
    def _stored_kind(self) -> str:
        # Before the form sets the new one.
        return str(self.initial.get("authentication") or "")

    @cached_property
    def _entered_credentials(self) -> dict[str, str]:
        """The secrets that the user entered before the form was returned with errors."""
        return headers.unseal(self["credentials_kept"].value() or "", user=self.user) if self.is_bound else {}

    @cached_property
    def are_credentials_changed(self) -> bool:
        """Whether the form has other credentials than the webhook. Known once the form is clean."""
        return False

    def clean_credentials(self, url: str) -> None:
        """Set the webhook's credentials from the fields of the selected kind, or add an error to each wrong one."""
        kind = self.cleaned_data.get("authentication")
        if kind is None:
            return
        is_same = kind == self._stored_kind
        entered = {field.name: str(self.cleaned_data.get(PREFIX + field.name) or "") for field in FIELDS[kind]}
        if is_same and self.known_credentials is None and all(entered[name] == MASK for name in secret_names(kind)):
            return  # Unreadable credentials stay as they are.
        before = dict(self.known_credentials or {}) if is_same else {}
        values, given = self._unmasked(kind, entered, before)
        try:
            validate(kind, {name: value for name, value in values.items() if value})
        except ValidationError as error:
            for name, errors in error.error_dict.items():
                self._add_credential_error(name, errors)
        receivers = (str(self.initial.get("url", "")), url)
        for name in withheld(kind, before, values, given=given, receivers=receivers):
            self._add_credential_error(name, gettext("The URL is that of another receiver. Enter the value again."))
        if any(PREFIX + name in self.errors for name in entered):
            # The webhook keeps its old authentication, whose credentials it has.
            del self.cleaned_data["authentication"]
        elif not is_same or not same_values(kind, before, values):
            self.are_credentials_changed = True
            self.instance.credentials = to_text(values)

    def _unmasked(
        self, kind: str, entered: Mapping[str, str], before: Mapping[str, str]
    ) -> tuple[dict[str, str], set[str]]:
        """Return the values with the known secrets in place of dots, and the names of those that the user entered."""
        values, given = dict(entered), {name for name, value in entered.items() if value != MASK}
        for name in secret_names(kind):
            if values[name] != MASK:
                continue
            if name in self._entered_credentials:
                values[name] = self._entered_credentials[name]
                given.add(name)
            else:
                values[name] = before.get(name, "")
        return values, given

    def _add_credential_error(self, name: str, error: Any) -> None:
        if PREFIX + name not in self.errors:
            self.add_error(PREFIX + name, error)

    def entered_secrets(self) -> dict[str, str]:
        """Return the secrets of all kinds that the user entered in this form, or before and did not clear."""
        entered = {name: str(self[PREFIX + name].value() or "") for kind in FIELDS for name in secret_names(kind)}
        before = {name: value for name, value in self._entered_credentials.items() if entered.get(name)}
        return before | {name: value for name, value in entered.items() if value and MASK[0] not in value}


def described(webhook: Webhook) -> str:
    """Return the authentication of a webhook in words, with dots for secrets."""
    kind, values = str(webhook.get_authentication_display()), webhook.known_credentials()
    if values is None:
        return f"{kind}: " + gettext("They can't be decrypted with the configured keys. Enter them again.")
    shown = masked(webhook.authentication, values)
    filled = [field for field in FIELDS[webhook.authentication] if values.get(field.name)]
    return "; ".join([kind, *(f"{field.label}: {shown[field.name]}" for field in filled)])
