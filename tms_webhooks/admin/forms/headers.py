"""Header lines in a form: ``name=value``, where values that are known already are dots.

A value that was typed is never sent back in clear. What is right in a form that has to be corrected comes back as dots
too, and travels along sealed, so that nobody has to type it twice. A line that is wrong comes back as it is, or it could
not be corrected.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from django import forms
from django.core import signing
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from tms_webhooks.exceptions import SecretError
from tms_webhooks.models import Webhook
from tms_webhooks.models.encryption import MASK, decrypt, encrypt, reveal
from tms_webhooks.validators import parse_headers

SALT = "tms_webhooks.admin.headers"
LONGEST_PAUSE = 86_400
"""Seconds after which a form that was sent back no longer knows what was typed into it."""

UNKNOWN = _("Line %(line)d: no value is known of the header %(name)s. Type it in place of the dots.")
ELSEWHERE = _("Line %(line)d: the URL leads to another receiver. Type the value of %(name)s anew, or remove the line.")


class HeaderLinesField(forms.CharField):
    """The box of header lines. The form that holds it puts in values for the dots: see `unmask`."""

    widget = forms.Textarea

    def has_changed(self, initial: Any, data: Any) -> bool:
        """Compare line by line, however the browser ends them."""
        return _meant(initial) != _meant(data)


def known_headers(webhook: Webhook) -> Mapping[str, str] | None:
    """Return the headers of a webhook; None where they can't be read."""
    try:
        return parse_headers(reveal(webhook.headers), custom_body=True)
    except (SecretError, ValidationError):
        return None


def mask(headers: Mapping[str, str] | None) -> str:
    """Return headers as the form shows them; those that can't be read as dots alone."""
    return MASK if headers is None else "\n".join(f"{name}={MASK}" for name in headers)


def unmask(text: str, known: Mapping[str, str], *, withheld: Collection[str] = ()) -> str:
    """Return header lines with the known values in place of dots; what is wrong with a line is left to the validators.

    ``withheld`` are the names of those that must not go where the webhook leads now. Raises `ValidationError` for dots in place of a value that is not known, and for dots that were typed into.
    """
    values = {name.lower(): value for name, value in known.items()}
    held_back = {name.lower() for name in withheld}
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
            message = ELSEWHERE if name.lower() in held_back else UNKNOWN
            problems.append(_problem(message, line=number, name=name))
        else:
            lines.append(f"{name}={values[name.lower()]}")
    if problems:
        raise ValidationError(problems)
    return "\n".join(lines)


def hide(text: str) -> tuple[str, dict[str, str]]:
    """Return typed lines with dots for the values of those that are right, and these values."""
    lines: list[str] = []
    typed: dict[str, str] = {}
    for line in _lines(text):
        try:
            found = {} if MASK[0] in line else parse_headers(line, custom_body=True)
        except ValidationError:
            found = {}
        typed.update(found)
        lines += [f"{name}={MASK}" for name in found] or [line]
    return "\n".join(lines), typed


def seal(headers: Mapping[str, str], *, user: object) -> str:
    """Return values to travel along with a form that is sent back: encrypted, signed, and of use to this person only."""
    return signing.dumps([str(user), encrypt(json.dumps(headers))], salt=SALT) if headers else ""


def unseal(token: str, *, user: object) -> dict[str, str]:
    """Return what `seal` put away for this person; nothing where the token is of another, too old, or made up."""
    try:
        owner, sealed = signing.loads(token, salt=SALT, max_age=LONGEST_PAUSE)
        headers: dict[str, str] = json.loads(decrypt(sealed)) if owner == str(user) else {}
    except (signing.BadSignature, SecretError, ValueError):
        return {}
    return headers


def _lines(text: str) -> Iterator[str]:
    return (line.removesuffix("\r") for line in text.split("\n"))


def _meant(text: Any) -> list[str]:
    return [line.strip() for line in _lines(text or "") if line.strip()]


def _problem(message: Any, **params: object) -> ValidationError:
    return ValidationError(message, code="mask", params=params)
