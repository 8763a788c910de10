"""Validators of user input: header lines, a webhook's URL, a retry schedule, a rate, contacts.

Migrations refer to these functions: keep their names, and let each take the value as its only required argument.
A message never contains a header's value, which may be a password.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext_lazy as _

from tms_webhooks import event_names, exceptions
from tms_webhooks.conf import DELAYS_LIMIT, LONGEST_DELAY
from tms_webhooks.net import urls

HEADERS_LIMIT, CONTACTS_LIMIT = 50, 10
"""Headers and contacts that a webhook may have."""
LONGEST_CONTENT = 65_536
"""Characters of custom content."""
MOST_PROBLEMS = 10
"""Wrong header lines that are reported together."""
MOST_CONTENTS, LONGEST_CONTENTS = 100, 262_144
"""Contents by event: their number, and their characters in all."""

HOP_BY_HOP_HEADERS = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that belong to one connection, not to the request."""

OWN_HEADERS = frozenset({"accept-encoding", "content-length", "expect", "host", "user-agent"})
"""Headers that the app or its HTTP client sets, or that would break the exchange."""

OWN_PREFIXES = ("webhook-", "tms-")
"""Prefixes of the headers that the app sets."""

CONTENT_TYPE = "content-type"
"""The header that a webhook may set if its body is custom content."""

NAMED_SCHEDULES = ("standard", "skillable", "none")
SLOWEST_RATE = 0.001
"""Requests per second."""
# Of a days window: a hundred years. A longer one would exceed the range of `datetime`.
MOST_DAYS = 36_500.0

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
# Control characters, and the separators of lines and paragraphs.
_NOT_IN_NAMES = ("Cc", "Zl", "Zp")
# They change the direction of text, and so how what follows a name is read.
_TURNING = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
LONGEST_HEADER_VALUE = 4_096
"""In characters."""
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


def parse_headers(text: str) -> dict[str, str]:
    """Return the headers in ``text``: one ``name=value`` per line, split at the first ``=``; blank lines are skipped.

    Names keep their case. Raise `ValidationError` with one error for each of the first wrong lines: its number, the header's
    name if it is valid, and the remedy.
    """
    headers: dict[str, tuple[str, str]] = {}
    problems: list[ValidationError] = []
    for number, line in _lines(text):
        name, equals, value = (part.strip(" \t") for part in line.partition("="))
        key = header_key(name)
        try:
            if not equals:
                raise invalid_value(
                    _("The “=” is missing. Write name=value, or remove the line."), code="header_without_equals"
                )
            check_header(name, value)
            if key in headers:
                message = _("Duplicate header %(name)s. Remove one of the two lines.")
                raise invalid_value(message, code="header_duplicate", name=name)
        except ValidationError as error:
            params = {"line": number, "problem": error.messages[0]}
            problems.append(ValidationError(_("Line %(line)d: %(problem)s"), code=error.code, params=params))
            if len(problems) == MOST_PROBLEMS:
                break
        else:
            headers[key] = name, value
    if problems:
        raise ValidationError(problems)
    return dict(headers.values())


def check_header(name: str, value: str) -> None:
    """Raise `ValidationError` unless a webhook may have this header. The error never holds the value."""
    if header_key(name) != CONTENT_TYPE:
        # An empty name stands for no header there, and is none here.
        validate_header_name(name or " ")
    validate_header_value(value)


def validate_header_lines(text: str) -> None:
    """Raise `ValidationError` unless `parse_headers` accepts ``text``, with at most HEADERS_LIMIT headers."""
    count = sum(1 for _line in _lines(text))
    if count > HEADERS_LIMIT:
        raise invalid_value(
            _("%(count)d headers are too many; the limit is %(limit)d. Remove some."),
            code="too_many_headers",
            count=count,
            limit=HEADERS_LIMIT,
        )
    parse_headers(text)


def validate_name(value: str) -> None:
    """Raise `ValidationError` for a name with line breaks or other control characters, which mails and logs would show."""
    found = next((one for one in value if one in _TURNING or unicodedata.category(one) in _NOT_IN_NAMES), None)
    if found is not None:
        raise invalid_value(
            _("The name contains a line break or another control character, U+%(point)s. Remove it."),
            code="control_character",
            point=f"{ord(found):04X}",
        )


def validate_header_name(name: str) -> None:
    """Raise `ValidationError` unless ``name`` is the name of a header that the app does not set itself; "" is accepted."""
    if name and not HEADER_NAME.fullmatch(name):
        # Not quoted: a header that was pasted whole holds its value.
        raise invalid_value(
            _("Not a header name: use letters, digits and hyphens only. In a line, “=” follows the name, not “:”."),
            code="header_name",
        )
    key = header_key(name)
    if key in {*HOP_BY_HOP_HEADERS, *OWN_HEADERS, CONTENT_TYPE} or key.startswith(OWN_PREFIXES):
        raise invalid_value(
            _("The system sets the header %(name)s. Choose another name."),
            code="header_forbidden",
            name=name,
        )


def refuse_control_characters(value: str) -> None:
    """Raise `ValidationError`, which never holds the value, if it contains a control character."""
    if _CONTROL.search(value):
        raise invalid_value(
            _("The value contains a control character, such as a line break. Type the value again."),
            code="header_control_character",
        )


def validate_header_value(value: str) -> None:
    """Raise `ValidationError` unless HTTP can carry ``value``. The error never holds the value."""
    refuse_control_characters(value)
    if len(value) > LONGEST_HEADER_VALUE:
        raise invalid_value(
            _("The value has %(count)d characters; the limit is %(limit)d. Shorten it."),
            code="max_length",
            count=len(value),
            limit=LONGEST_HEADER_VALUE,
        )
    if not all(ord(character) < 256 for character in value):
        raise invalid_value(
            _("The value contains a character outside Latin-1, which HTTP can't carry. Encode the value."),
            code="header_not_latin1",
        )


def validate_webhook_url(value: str) -> None:
    """Raise `ValidationError` unless ``value`` may be a webhook's URL. Check its syntax only, without the network.

    Path and query may contain ``{tokens}``. The host may not, because the data would choose the target.
    """
    try:
        urls.check_url(value)
    except exceptions.UnsafeURL as error:
        raise ValidationError(str(error), code="unsafe_url") from error


def validate_schedule(value: object) -> None:
    """Raise `ValidationError` unless ``value`` is a list of delays in seconds, the name of a schedule, or empty.

    ``None`` and ``""`` are empty; an empty list is a schedule without retries.
    """
    if value is None or value == "":
        return
    if isinstance(value, str):
        if value not in NAMED_SCHEDULES:
            raise invalid_value(
                _("Retry schedule: unknown name %(value)s. Choose one of %(names)s, or list delays in seconds."),
                code="unknown_schedule",
                value=_short(value),
                names=", ".join(NAMED_SCHEDULES),
            )
    elif isinstance(value, list | tuple):
        _validate_delays(value)
    else:
        raise invalid_value(
            _("Retry schedule: %(value)s is neither a name nor a list. Choose one of %(names)s, or list delays."),
            code="schedule_type",
            value=_short(value),
            names=", ".join(NAMED_SCHEDULES),
        )


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, with their numbers from 1."""
    # Not splitlines(): it also splits at characters that a Latin-1 value may contain.
    for number, line in enumerate(text.split("\n"), start=1):
        # Not strip() alone: it would remove control characters that must be refused.
        line = line.removesuffix("\r").strip(" \t")
        if line:
            yield number, line


def header_key(name: str) -> str:
    """Return the name that decides: CGI and WSGI read ``webhook_id`` and ``webhook-id`` as one header."""
    return name.lower().replace("_", "-")


def invalid_value(message: Any, code: str | None = "invalid", **params: object) -> ValidationError:
    """Return an error with the parameters of its message."""
    return ValidationError(message, code=code, params=params)


def validate_rate(value: float) -> None:
    """Raise `ValidationError` unless ``value`` is a rate of at least 0.001 requests per second."""
    # Infinity and "not a number" are numbers to a JSON parser, and fail this comparison.
    if not SLOWEST_RATE <= value < math.inf:
        raise invalid_value(
            _("%(value)s is not a rate. Use %(slowest)s requests per second or more, or leave it empty for no limit."),
            code="rate",
            value=_short(value),
            slowest=SLOWEST_RATE,
        )


def validate_contacts(text: str) -> None:
    """Raise `ValidationError` for the first line that is not an e-mail address, and for more than CONTACTS_LIMIT of them."""
    contacts = [(number, line.strip()) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if len(contacts) > CONTACTS_LIMIT:
        raise invalid_value(
            _("%(count)d contacts are too many; the limit is %(limit)d. Use a mailing list."),
            code="too_many_contacts",
            count=len(contacts),
            limit=CONTACTS_LIMIT,
        )
    for number, contact in contacts:
        try:
            validate_email(contact)
        except ValidationError:
            raise invalid_value(
                _("Line %(line)d: %(value)s is not an e-mail address. Write one address per line."),
                code="contact",
                line=number,
                value=_short(contact),
            ) from None


def _validate_delays(delays: Sequence[object]) -> None:
    if len(delays) > DELAYS_LIMIT:
        raise invalid_value(
            _("Retry schedule: %(count)d delays are too many. List at most %(limit)d."),
            code="too_many_delays",
            count=len(delays),
            limit=DELAYS_LIMIT,
        )
    problems = [
        invalid_value(
            _(
                "Retry schedule, delay %(position)d: %(value)s is not a number of seconds from 0 to %(longest)d. "
                "Correct it or remove it."
            ),
            code="delay",
            position=position,
            value=_short(delay),
            longest=LONGEST_DELAY,
        )
        for position, delay in enumerate(delays, start=1)
        # NaN fails every comparison.
        if isinstance(delay, bool) or not isinstance(delay, int | float) or not 0 <= delay <= LONGEST_DELAY
    ]
    if problems:
        raise ValidationError(problems)


def _short(value: object) -> str:
    return shorten(literal(value), longest=40)


def shorten(text: str, *, longest: int = 60) -> str:
    """Return a text for a message, cut to at most ``longest`` characters."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def literal(value: object) -> str:
    """Return a user's input for an error message: a text or number as in Python, another value as JSON if it is any."""
    is_plain = isinstance(value, str | int | float) and not isinstance(value, bool)
    try:
        text = repr(value) if is_plain else json.dumps(value, ensure_ascii=False, default=str)
    except ValueError:  # Python refuses to print numbers of more than 4,300 digits
        text = "a number of thousands of digits"
    except TypeError:  # YAML reads a date as a key
        text = repr(value)
    return text


def validate_contents(value: object) -> None:
    """Raise `ValidationError` unless ``value`` has texts by event types or patterns: at most 100, and 262,144 characters."""
    if not isinstance(value, dict):
        raise invalid_value(
            _("Contents by event: expected an object of event types and texts, such as {%(example)s}."),
            code="contents_type",
            example='"class.cancelled": "{data.name} is off"',
        )
    for name, content in value.items():
        if not event_names.is_pattern_known(name):
            nearest = event_names.nearest(name) or ["class.cancelled", "class.*"]
            message = _("Contents by event: %(name)s is not an event type or pattern. Did you mean %(nearest)s?")
            raise invalid_value(message, code="contents_event", name=_short(name), nearest=", ".join(nearest))
        if not isinstance(content, str) or len(content) > LONGEST_CONTENT:
            message = _("Contents by event: the content of %(name)s must be a text of at most %(limit)d characters.")
            raise invalid_value(message, code="contents_text", name=name, limit=LONGEST_CONTENT)
        if not content.strip():
            message = _("Contents by event: the content of %(name)s is empty; write a body, or leave the event out.")
            raise invalid_value(message, code="contents_empty", name=name)
    if len(value) > MOST_CONTENTS or sum(map(len, value.values())) > LONGEST_CONTENTS:
        message = _("Contents by event: give at most %(most)d contents, and %(limit)d characters in all.")
        raise invalid_value(message, code="contents_limit", most=MOST_CONTENTS, limit=LONGEST_CONTENTS)
