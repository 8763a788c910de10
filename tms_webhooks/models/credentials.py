"""How requests authenticate at the receiver: the columns, the values of each kind, their rules, and their text for storage.

The API, the admin form and YAML files all use `validate`, so that they refuse the same values. An error names the value and
the remedy, and never holds the value.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from tms_webhooks.choices import AuthenticationKind, ClientAuthentication
from tms_webhooks.exceptions import SecretError, UnsafeURL
from tms_webhooks.models.encryption import EncryptedTextField, Sealed, reveal
from tms_webhooks.net import urls
from tms_webhooks.net.urls import MASK
from tms_webhooks.validators import (
    LONGEST_HEADER_VALUE,
    header_key,
    invalid_value,
    parse_headers,
    refuse_control_characters,
    validate_header_name,
    validate_header_value,
)

LONGEST_NAME = 100
LONGEST_URL = 2_000
"""Both in characters."""

AUTHORIZATION = "authorization"
"""The header that every kind but ``header`` sets, in lower case."""

Values = Mapping[str, str]
"""The values of one kind by name; a value that is not set is missing."""


def _pattern(expression: str, message: Any, code: str) -> RegexValidator:
    return RegexValidator(rf"\A(?:{expression})\Z", message, code)


def _check_token_url(value: str) -> None:
    if "{" in value or "}" in value:
        raise invalid_value(
            _("The token URL is the same for each event. Write it without {tokens}."), "token_url_braces"
        )
    try:
        urls.check_url(value)
    except UnsafeURL as error:
        raise invalid_value(str(error), "unsafe_url") from error


# RFC 6749, appendix A: visible ASCII and spaces for the client; words of it, without quotation marks, for the scope.
_CLIENT = _pattern(
    r"[\x20-\x7e]*",
    _("OAuth 2 allows ASCII characters only, and no line breaks. Copy the value again."),
    "not_visible_ascii",
)


class CredentialField(NamedTuple):
    """One value of a kind of authentication. ``checks`` raise `ValidationError` for a value that makes no sense.

    ``must_be_given`` is for a value that may be empty, but that the API requires: a client that forgets it gets an error.
    """

    name: str
    label: Any
    checks: Sequence[Callable[[str], None]]
    is_secret: bool = False
    is_required: bool = True
    must_be_given: bool = False
    longest: int = LONGEST_HEADER_VALUE
    default: str = ""
    help_text: Any = ""


FIELDS: Mapping[str, tuple[CredentialField, ...]] = {
    AuthenticationKind.NONE: (),
    AuthenticationKind.BASIC: (
        CredentialField(
            "username",
            _("User name"),
            [
                _pattern(
                    "[^:]*",
                    _("A user name can't contain a colon: receivers end it there. Use a name without one."),
                    "username_colon",
                ),
                validate_header_value,
            ],
        ),
        # RFC 7617 allows an empty password.
        CredentialField(
            "password", _("Password"), [validate_header_value], is_secret=True, is_required=False, must_be_given=True
        ),
    ),
    AuthenticationKind.BEARER: (
        CredentialField(
            "token",
            _("Token"),
            [
                validate_header_value,
                _pattern(
                    r"\S*", _("A token has no spaces. Give the token alone, without the word Bearer."), "token_blank"
                ),
            ],
            is_secret=True,
        ),
    ),
    AuthenticationKind.HEADER: (
        CredentialField(
            "name", _("Header name"), [validate_header_name], longest=LONGEST_NAME, help_text=_("Such as X-Api-Key.")
        ),
        CredentialField("value", _("Header value"), [validate_header_value], is_secret=True),
    ),
    AuthenticationKind.OAUTH2: (
        CredentialField(
            "token_url",
            _("Token URL"),
            [_check_token_url],
            longest=LONGEST_URL,
            help_text=_("The URL that issues access tokens for the client credentials grant."),
        ),
        CredentialField("client_id", _("Client id"), [_CLIENT]),
        CredentialField("client_secret", _("Client secret"), [_CLIENT], is_secret=True),
        CredentialField(
            "scope",
            _("Scope"),
            [
                _pattern(
                    r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*",
                    _(
                        "Separate scopes by one space; they have ASCII characters only, and neither quotation marks nor \\."
                    ),
                    "scope",
                )
            ],
            is_required=False,
            help_text=_("Optional; scopes separated by a space."),
        ),
        CredentialField(
            "audience",
            _("Audience"),
            [refuse_control_characters],
            is_required=False,
            help_text=_("Optional; some servers need it."),
        ),
        CredentialField(
            "client_authentication",
            _("Client authentication"),
            [
                _pattern(
                    "|".join(ClientAuthentication.values),
                    _("This is not a way to send the client secret. Choose one of basic, body."),
                    "invalid_choice",
                )
            ],
            is_required=False,
            default=ClientAuthentication.BASIC.value,
            help_text=_("How the token URL gets client id and client secret."),
        ),
    ),
}
"""The values of each kind. Names are unique over all kinds, so that a form can show all of them."""


def field_names() -> tuple[str, ...]:
    """Return the names of the values of all kinds."""
    return tuple(field.name for fields in FIELDS.values() for field in fields)


def to_text(values: Values) -> str:
    """Return values as the text that is stored, which the model encrypts; "" without values."""
    filled = {name: value for name, value in sorted(values.items()) if value}
    return json.dumps(filled, ensure_ascii=False) if filled else ""


def from_text(text: str) -> dict[str, str]:
    """Return the values of a stored text. Raise `ValidationError`, which quotes nothing, if it is none."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        # Without the cause, which holds the text.
        raise invalid_value(_("The stored credentials can't be read. Enter them again."), "unreadable")
    return found


def validate(kind: str, values: Values) -> None:
    """Raise `ValidationError` by value name unless these are the values of one ``kind`` of authentication.

    For an unknown kind, the name is ``authentication``.
    """
    if kind not in FIELDS:
        message = _("Unknown authentication: %(kind)s. Choose one of %(names)s.")
        raise ValidationError({"authentication": invalid_value(message, "unknown", kind=kind, names=", ".join(FIELDS))})
    fields = {field.name: field for field in FIELDS[kind]}
    problems: dict[str, ValidationError] = {}
    for name in values:
        if name not in fields:
            message = _("The authentication %(kind)s has no such value. Remove it.")
            problems[name] = invalid_value(message, "unknown", kind=kind)
    for name, field in fields.items():
        try:
            _check(field, values.get(name, ""))
        except ValidationError as error:
            problems[name] = error
    if problems:
        raise ValidationError(problems)


def _check(field: CredentialField, value: str) -> None:
    if not value:
        if field.is_required:
            raise invalid_value(_("This value is missing. Enter it, or choose another authentication."), "required")
        return
    if len(value) > field.longest:
        message = _("The value has %(count)d characters; the limit is %(limit)d. Shorten it.")
        raise invalid_value(message, "max_length", count=len(value), limit=field.longest)
    if MASK[0] in value:
        raise invalid_value(_("Leave the dots as they are, or replace them all."), "partial_mask")
    for check in field.checks:
        check(value)


def with_defaults(kind: str, values: Values) -> dict[str, str]:
    """Return the values that are not empty, with the default of each other one."""
    filled = {name: value for name, value in values.items() if value}
    return {**{field.name: field.default for field in FIELDS.get(kind, ()) if field.default}, **filled}


def same_values(kind: str, one: Values, other: Values) -> bool:
    """Return whether requests authenticate in the same way with both: an empty value is as one that is not set."""
    return with_defaults(kind, one) == with_defaults(kind, other)


def secret_names(kind: str) -> tuple[str, ...]:
    """Return the names of the values of this kind that are shown masked."""
    return tuple(field.name for field in FIELDS.get(kind, ()) if field.is_secret)


def header_name(kind: str, values: Values) -> str:
    """Return the header that this authentication sets, as `header_key` returns it; "" if it sets none."""
    if kind == AuthenticationKind.HEADER:
        return header_key(values.get("name", ""))
    return "" if kind == AuthenticationKind.NONE else AUTHORIZATION


def masked(kind: str, values: Values) -> dict[str, str]:
    """Return the values of this kind with their defaults, in the order of the fields, and a mask for each secret one."""
    known = with_defaults(kind, values)
    found = {field.name: (known.get(field.name, ""), field.is_secret) for field in FIELDS.get(kind, ())}
    return {name: MASK if value and is_secret else value for name, (value, is_secret) in found.items()}


def read_headers(stored: Sealed | str) -> dict[str, str]:
    """Return a webhook's own headers by name from its stored lines, encrypted or not.

    Raise `SecretError` if they can't be decrypted, and ``ValidationError`` if they are no lines of headers.
    """
    return parse_headers(reveal(stored))


def known_headers(stored: Sealed | str) -> dict[str, str] | None:
    """Return the same as `read_headers`, or None if they can't be read."""
    try:
        return read_headers(stored)
    except (SecretError, ValidationError):
        return None


def is_same_receiver(before: str, url: str) -> bool:
    """Return whether stored headers and credentials may stay if the URL of a webhook changes. None is sent without a URL."""
    return not url or urls.same_receiver(before, url)


def withheld(
    kind: str, before: Values, after: Values, *, given: Collection[str], receivers: tuple[str, str]
) -> tuple[str, ...]:
    """Return the names of kept secrets that a change would send to another receiver, or to another token URL.

    A user who may change the URLs could otherwise read the stored values there. ``before`` and ``after`` are values of
    this kind, ``given`` the names that the user entered, and ``receivers`` the webhook's URLs before and after.
    """
    old, new = before.get("token_url", ""), after.get("token_url", "")
    if is_same_receiver(*receivers) and (old == new or urls.same_receiver(old, new)):
        return ()
    return tuple(name for name in secret_names(kind) if after.get(name) and name not in given)


class AuthenticationFields(models.Model):
    """The fields of a webhook by which the receiver knows the sender: authentication, and a signature of the body."""

    authentication = models.CharField(
        _("authentication"),
        max_length=10,
        choices=AuthenticationKind.choices,
        default=AuthenticationKind.NONE,
        help_text=_("How requests authenticate at the receiver, in addition to their signature."),
    )
    # JSON: see `to_text`.
    credentials = EncryptedTextField(_("credentials"), bound_to="uid", blank=True, default="")
    body_signature_header = models.CharField(
        _("body signature header"),
        max_length=LONGEST_NAME,
        blank=True,
        default="",
        validators=[validate_header_name],
        help_text=_(
            "For receivers that verify GitHub's signature: a header that gets the hex HMAC-SHA256 of the body, such as "
            "X-Hub-Signature-256. Empty: none."
        ),
    )
    body_signature_prefix = models.BooleanField(
        _("prefix sha256="),
        default=True,
        help_text=_("Write sha256= before the body signature, as GitHub does."),
    )

    headers: Any

    class Meta:
        abstract = True

    def authentication_problems(self) -> Iterator[tuple[str, ValidationError]]:
        """Yield an error for each wrong credential, or else for each header that is set twice."""
        if self.authentication not in FIELDS:
            return  # reported by the field
        try:
            values = self.read_credentials()
        except SecretError:
            return  # reported by each delivery
        try:
            validate(self.authentication, values)
        except ValidationError as error:
            for name, texts in error.message_dict.items():
                for text in texts:
                    yield "credentials", ValidationError(f"{name}: {text}")
            return
        # The webhook's own headers that authentication or body signature set, too.
        taken, names = header_name(self.authentication, values), known_headers(self.headers)
        if names is None:
            return  # reported by the field, or by each delivery
        for name in names:
            if taken and header_key(name) == taken:
                message = _(
                    "The authentication sets the header %(name)s. Remove it from the headers, or choose no authentication."
                )
                yield "headers", invalid_value(message, "header_of_authentication", name=name)
        signature = header_key(self.body_signature_header)
        if signature and signature in {taken, *map(header_key, names)}:
            message = _("The header %(name)s has another value already. Choose another name, or remove that header.")
            params = {"name": self.body_signature_header}
            yield "body_signature_header", ValidationError(message, code="header_duplicate", params=params)

    def read_credentials(self) -> dict[str, str]:
        """Return the decrypted values of the authentication by name.

        Raise `SecretError` if they can't be decrypted, and ``ValidationError`` if they are no values.
        """
        return from_text(reveal(self.credentials))

    def known_credentials(self) -> dict[str, str] | None:
        """Return the same as `read_credentials`, or None if they can't be read."""
        try:
            return self.read_credentials()
        except (SecretError, ValidationError):
            return None
