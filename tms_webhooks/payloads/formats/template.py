"""Templates: text with ``{tokens}``, the formats of tokens, and the escaping of values by the position of their token.

The formats are a closed list of pure functions, such as the date of ``{data.start_at|date:"%d %b %Y"}``. A format takes the
value that the one before it returns. It never fails: a value that it can't change stays as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

from django.utils import dateformat, translation
from django.utils.translation import gettext as _

from tms_webhooks.catalogue.values import in_utc
from tms_webhooks.exceptions import PayloadError

# A value that JSON can represent.
Json = Any

LONGEST_TRUNCATED = 10_000
"""The largest argument of ``truncate``, in characters."""
_DIRECTIVE = re.compile("%(.?)", re.DOTALL)

# For texts of chats. An underscore within a word is no mark.
_SIMILAR = str.maketrans("*~`", "\u2217\u223c\u02cb")
_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
_WORD = re.compile(r"\S+")
_MAIL = re.compile(r"[^\s@:/]+@[^\s@:/]+")
_LINKING = re.compile(r":(?=//)|\.(?=[^\W\d_])")
_FUNCTION = re.compile(r"\{(?=\{)")


class TokenFormat(NamedTuple):
    """One format of a token: its name, and its argument, or None."""

    name: str
    argument: str | int | None = None


class FormatRule(NamedTuple):
    """What a format does, and the check of its argument: a sentence with the remedy for an invalid one, else an empty text."""

    apply: Callable[[Json, Any], Json]
    problem: Callable[[Any], str]


class WrittenJson(str):
    """An object or a list as JSON: written once, however many tokens and formats take it."""

    __slots__ = ()


def written(value: Json) -> str:
    """Return a value as text: empty for null, text unchanged, anything else as JSON."""
    if value is None:
        return ""
    return str(value if isinstance(value, str) else json_text(value))


def json_text(value: Json) -> str:
    """Return a value as compact JSON."""
    return value if isinstance(value, WrittenJson) else _encode(value)


# Made once: json.dumps() makes a new one for each value.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _date(value: Json, template: str) -> Json:
    moment = _moment(value)
    if moment is None:
        return value
    # English, whatever the locale of the process.
    with translation.override("en"):
        return _DIRECTIVE.sub(lambda found: dateformat.format(moment, DATE_PARTS[found[1]]), template)


def _moment(value: Json) -> datetime | None:
    """Return a time of an event in UTC: ISO 8601 in the standard format, seconds since 1970 in the API's; else None."""
    try:
        if isinstance(value, str):
            return in_utc(datetime.fromisoformat(value))
        if isinstance(value, int) and not isinstance(value, bool):
            return datetime.fromtimestamp(value, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None


DATE_PARTS = {**dict(zip("dmbBYyaAHIpMS", "dmMFYyDlHhAis", strict=True)), "Z": r"\U\T\C", "%": "%"}
"""The parts of a date, by the character after their ``%``, as Django's date formats."""


def truncated(value: Json, length: int) -> str:
    """Return a value as text, cut to a number of characters."""
    text = written(value)
    return text if len(text) <= length else f"{text[: length - 1]}…"


def chat_text(text: str) -> str:
    """Return a text for a chat, without Markdown and without links, which are not the sender's own.

    The marks of Markdown become similar characters, because Teams shows backslashes on some devices. An invisible space
    breaks a URL or a host name. Mail addresses stay as they are.
    """
    unmarked = _UNDERSCORE.sub("\uff3f", text.translate(_SIMILAR))
    return _WORD.sub(
        lambda word: word[0] if _MAIL.fullmatch(word[0]) else _LINKING.sub("\\g<0>\u200b", word[0]), unmarked
    )


def slack_text(text: str) -> str:
    """Return a text for a message to Slack: https://docs.slack.dev/messaging/formatting-message-text."""
    return chat_text(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def teams_text(text: str) -> str:
    """Return a text for a message to Teams, with no [text](URL) and no {{function}} of an adaptive card."""
    return _FUNCTION.sub("{ ", chat_text(text).replace("](", "] ("))


def _needs_none(argument: Any) -> str:
    return "" if argument is None else _("It takes no argument; remove the colon and the argument.")


def _needs_date(argument: Any) -> str:
    if not isinstance(argument, str) or not argument:
        return _('It needs the parts of a date in quotes, such as date:"%d %b %Y".')
    unknown = [part for part in _DIRECTIVE.findall(argument) if part not in DATE_PARTS]
    if unknown:
        return _("%(part)s is not a part of a date. Use %(names)s.") % {
            "part": f"%{unknown[0]}",
            "names": " ".join(f"%{name}" for name in DATE_PARTS),
        }
    return ""


RULES: Mapping[str, FormatRule] = {
    "date": FormatRule(_date, _needs_date),
    "upper": FormatRule(lambda value, _none: written(value).upper(), _needs_none),
    "lower": FormatRule(lambda value, _none: written(value).lower(), _needs_none),
    "default": FormatRule(
        lambda value, text: text if value is None or value == "" else value,
        lambda text: "" if isinstance(text, str) else _('It needs a text in quotes, such as default:"-".'),
    ),
    "truncate": FormatRule(
        truncated,
        lambda length: (
            ""
            if isinstance(length, int) and 1 <= length <= LONGEST_TRUNCATED
            else _("It needs a number of characters from 1 to 10,000, such as truncate:100.")
        ),
    ),
    "json": FormatRule(lambda value, _none: str(json_text(value)), _needs_none),
    "slack": FormatRule(lambda value, _none: slack_text(written(value)), _needs_none),
    "teams": FormatRule(lambda value, _none: teams_text(written(value)), _needs_none),
}
"""The formats by name."""


# Templates

MOST_TOKENS = 1_000
"""Tokens of a template. Each format of a token counts as one more, and so does each part of a date."""
LONGEST_TEXT = 65_536
"""Bytes of a template with its tokens replaced."""
READ = 16
"""Characters that a format may read for each one that may be written."""

_NAME = r"[A-Za-z][A-Za-z0-9_.]*"
_FORMAT = r"""\|([a-z]+)(?::("[^"{}]*"|'[^'{}]*'|[0-9]{1,9}))?"""
_FORMATS = re.compile(_FORMAT)
# "{{word}}" is an escaped "{word}". Other braces, such as those of JSON, are literal.
_TOKEN = re.compile(rf"\{{\{{({_NAME})\}}\}}|\{{({_NAME})((?:{_FORMAT})*)\}}")
# The beginning of a token that is none: its format can't be read, or its brace is not closed.
_OPENED = re.compile(rf"\{{{_NAME}(?:\|[^\n}}]{{0,40}}|(?![A-Za-z0-9_.}}])(?=([^{{}}]*\}}?)))")
_QUOTE = re.compile(r'\\.|"', re.DOTALL)
_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class TokenPosition(StrEnum):
    """The position of a token, which decides the escaping of its value."""

    JSON_VALUE = "json_value"
    """In JSON, outside quotes: any value."""
    JSON_TEXT = "json_text"
    """In JSON, between quotes."""
    FORM = "form"
    """In ``name=value&name=value``."""
    XML = "xml"
    """In the text or an attribute of XML or HTML."""
    TEXT = "text"
    """In plain text."""
    URL = "url"
    """In the path or the query of a URL."""


class Token(NamedTuple):
    """One ``{name}`` of a template."""

    name: str
    position: TokenPosition
    formats: tuple[TokenFormat, ...] = ()


class TextTooLong(PayloadError):
    """A template that is too long with its tokens replaced."""


def has_tokens(text: str) -> bool:
    """Return whether a text contains tokens."""
    return "{" in text and _TOKEN.search(text) is not None


def position_in(content: str, content_type: str) -> TokenPosition:
    """Return the position of tokens in a body; for JSON, that of tokens outside quotes.

    It follows from the content type. Without one, a body that begins with ``{`` or ``[`` is JSON, any other is text.
    """
    name = content_type.partition(";")[0].strip().lower()
    if not name:
        return TokenPosition.JSON_VALUE if content.lstrip().startswith(("{", "[")) else TokenPosition.TEXT
    if name.endswith(("/json", "+json")):
        return TokenPosition.JSON_VALUE
    if name == "application/x-www-form-urlencoded":
        return TokenPosition.FORM
    return TokenPosition.XML if name.endswith(("/xml", "+xml", "/html")) else TokenPosition.TEXT


@lru_cache(maxsize=512)
def parse(text: str, position: TokenPosition) -> tuple[str | Token, ...]:
    """Return a template as a sequence of literal text and tokens."""
    return tuple(_parts(text, position))


def _parts(text: str, position: TokenPosition) -> Iterator[str | Token]:
    quoted, end = False, 0
    for match in _TOKEN.finditer(text):
        before = text[end : match.start()]
        yield before
        quoted = quoted is not (sum(found == '"' for found in _QUOTE.findall(before)) % 2 == 1)
        literal, name, formats, *_inner = match.groups()
        if literal is not None:
            yield f"{{{literal}}}"
        else:
            in_text = quoted and position is TokenPosition.JSON_VALUE
            # Names that are no format are among them, for the check.
            parsed = tuple(
                TokenFormat(one, int(given) if given.isdecimal() else given[1:-1] if given else None)
                for one, given in _FORMATS.findall(formats)
            )
            yield Token(name, TokenPosition.JSON_TEXT if in_text else position, parsed)
        end = match.end()
    yield text[end:]


def incomplete(parts: Iterable[str | Token], position: TokenPosition) -> list[str]:
    """Return the beginnings of tokens that are not complete: ``{data.id`` or ``{data.name|date:%Y}``, which needs quotes.

    A brace and a name are literal text if a closing brace follows before the next opening one, as in ``{color: red}``.
    In JSON it is the brace of the object.
    """
    found = (match for part in parts if isinstance(part, str) for match in _OPENED.finditer(part))
    is_json = position is TokenPosition.JSON_VALUE
    return [match[0] for match in found if match[1] is None or is_json or not match[1].endswith("}")]


def refuse_costly(parts: Iterable[str | Token]) -> None:
    """Raise `PayloadError` if a template has more than `MOST_TOKENS` tokens."""
    formats = [part.formats for part in parts if isinstance(part, Token)]
    dates = (one.argument.count("%") for of_token in formats for one in of_token if isinstance(one.argument, str))
    count = len(formats) + sum(map(len, formats)) + sum(dates)
    if count > MOST_TOKENS:
        raise PayloadError(
            _(
                "%(count)s tokens, with their formats and the parts of dates, are too many; the limit is %(limit)s. "
                "Use fewer, or give some events a content of their own."
            )
            % {"count": f"{count:,}", "limit": f"{MOST_TOKENS:,}"}
        )


def fill(parts: Iterable[str | Token], value_of: Callable[[str], Json]) -> str:
    """Return the text with its tokens replaced by values, each escaped for its position.

    Raises `TextTooLong` as soon as the text is longer than `LONGEST_TEXT`, or its formats have read `READ` times as much.
    """
    left = LONGEST_TEXT
    filled: dict[Token, str] = {}

    def spend(characters: int) -> None:
        nonlocal left
        left -= characters
        if left < 0:
            raise TextTooLong(
                _("with its tokens replaced it is longer than %(limit)s bytes. Use fewer tokens with long values.")
                % {"limit": f"{LONGEST_TEXT:,}"}
            )

    def text_of(part: str | Token) -> str:
        if isinstance(part, str):
            text = part
        elif part in filled:
            text = filled[part]
        else:
            value, formats = value_of(part.name), part.formats
            if part.position is TokenPosition.JSON_VALUE and formats and formats[-1].name == "json":
                formats = formats[:-1]  # A value there is JSON anyway.
            for one in formats:
                spend(len(value) // READ if isinstance(value, str) else 0)
                value = RULES[one.name].apply(value, one.argument)
            text = filled[part] = _WRITERS[part.position](value)
        spend(len(text))
        return text

    text = "".join(map(text_of, parts))
    spend(len(text.encode()) - len(text))
    return text


_WRITERS: dict[TokenPosition, Callable[[Json], str]] = {
    TokenPosition.JSON_VALUE: json_text,
    TokenPosition.JSON_TEXT: lambda value: json_text(written(value))[1:-1],
    TokenPosition.FORM: lambda value: quote_plus(written(value), safe=""),
    TokenPosition.XML: lambda value: escape(_NOT_IN_XML.sub("\ufffd", written(value)), {'"': "&quot;", "'": "&apos;"}),
    # Not every database can store a NUL character.
    TokenPosition.TEXT: lambda value: written(value).replace("\x00", "\ufffd"),
    TokenPosition.URL: lambda value: quote(written(value), safe=""),
}
