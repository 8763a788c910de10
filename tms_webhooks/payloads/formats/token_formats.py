"""The formats of tokens, such as the date of ``{data.start_at|date:"%d %b %Y"}``: a closed list, each a pure function.

A format takes the value that the one before it returns. It never fails: a value that it can't change stays as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.utils import dateformat, translation
from django.utils.translation import gettext as _

from tms_webhooks.catalogue.values import in_utc

# A value that JSON can represent.
Json = Any

LONGEST_TEXT = 10_000
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
            if isinstance(length, int) and 1 <= length <= LONGEST_TEXT
            else _("It needs a number of characters from 1 to 10,000, such as truncate:100.")
        ),
    ),
    "json": FormatRule(lambda value, _none: str(json_text(value)), _needs_none),
    "slack": FormatRule(lambda value, _none: slack_text(written(value)), _needs_none),
    "teams": FormatRule(lambda value, _none: teams_text(written(value)), _needs_none),
}
"""The formats by name."""
