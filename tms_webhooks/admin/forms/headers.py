"""Header lines in a form: ``name=value``, with dots in place of known values.

The form never returns an entered value in clear text. If the form has errors, the values of valid lines are replaced by
dots, and sent back encrypted in a hidden field. So the user need not enter them again. Invalid lines come back
unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from django import forms
from django.core import signing
from django.core.exceptions import ValidationError
from django.core.validators import MaxLengthValidator
from django.utils.translation import gettext_lazy as _

from tms_webhooks.exceptions import SecretError
from tms_webhooks.models.encryption import MASK, decrypt, encrypt
from tms_webhooks.validators import parse_headers

SALT = "tms_webhooks.admin.headers"
MAX_FORM_AGE = 86_400
"""The seconds for which a returned form keeps the entered values."""

LONGEST_HEADERS = 32_768
"""Characters of all header lines. Of more, the form shows no line after these again."""

UNKNOWN_VALUE = _("Line %(line)d: the header %(name)s has no stored value. Replace the dots with its value.")
OTHER_RECEIVER = _(
    "Line %(line)d: the URL is that of another receiver. Enter the value of %(name)s again, or remove the line."
)


class HeaderLinesField(forms.CharField):
    """The text area of header lines. The form replaces the dots with values: see `unmask`."""

    widget = forms.Textarea
    # Without an attribute of the text area, which would cut a pasted text silently.
    default_validators = [MaxLengthValidator(LONGEST_HEADERS)]

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare the lines, ignoring line ends and empty lines."""
        return _filled_lines(initial) != _filled_lines(data)


def mask(headers: Mapping[str, str] | None) -> str:
    """Return header lines with dots as values; unreadable headers are dots alone."""
    return MASK if headers is None else "\n".join(f"{name}={MASK}" for name in headers)


def unmask(text: str, known: Mapping[str, str], *, withheld: Collection[str] = ()) -> str:
    """Return header lines with the known values in place of the dots. Other errors are left to the validators.

    ``withheld`` are the names of headers whose values must not be sent to the new URL. Raises `ValidationError` for dots
    without a known value, and for dots that were edited.
    """
    values = {name.lower(): value for name, value in known.items()}
    withheld_names = {name.lower() for name in withheld}
    lines: list[str] = []
    problems: list[ValidationError] = []
    for number, line in enumerate(_lines(text), start=1):
        name, _equals, value = (part.strip() for part in line.partition("="))
        if MASK[0] not in line:
            lines.append(line)
        elif value != MASK:
            lines.append("")
            problems.append(_problem(_("Line %(line)d: leave the dots as they are, or replace them all."), line=number))
        elif name.lower() not in values:
            lines.append("")
            message = OTHER_RECEIVER if name.lower() in withheld_names else UNKNOWN_VALUE
            problems.append(_problem(message, line=number, name=name))
        else:
            lines.append(f"{name}={values[name.lower()]}")
    if problems:
        raise ValidationError(problems)
    return "\n".join(lines)


def hide(text: str) -> tuple[str, dict[str, str]]:
    """Return the lines with dots as the values of valid lines, and these values by name."""
    lines: list[str] = []
    entered: dict[str, str] = {}
    for line in _lines(text[:LONGEST_HEADERS]):
        try:
            found = {} if MASK[0] in line else parse_headers(line, custom_body=True)
        except ValidationError:
            found = {}
        entered.update(found)
        lines += [f"{name}={MASK}" for name in found] or [line]
    return "\n".join(lines), entered


def seal(headers: Mapping[str, str], *, user: object) -> str:
    """Return header values as an encrypted and signed token that only this user can submit."""
    return signing.dumps([str(user), encrypt(json.dumps(headers))], salt=SALT) if headers else ""


def unseal(token: str, *, user: object) -> dict[str, str]:
    """Return the values of a token from `seal`; empty if it is invalid, too old, or another user's."""
    try:
        owner, sealed = signing.loads(token, salt=SALT, max_age=MAX_FORM_AGE)
        headers: dict[str, str] = json.loads(decrypt(sealed)) if owner == str(user) else {}
    except (signing.BadSignature, SecretError, ValueError):
        return {}
    return headers


def _lines(text: str) -> Iterator[str]:
    return (line.removesuffix("\r") for line in text.split("\n"))


def _filled_lines(text: Any) -> list[str]:
    return [line.strip() for line in _lines(text or "") if line.strip()]


def _problem(message: Any, **params: object) -> ValidationError:
    return ValidationError(message, code="mask", params=params)
