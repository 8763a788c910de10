"""The only format of the API: a strict JSON parser, a compact renderer, and content negotiation by ``Accept`` alone.

The host's settings of Django REST framework do not change it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NoReturn

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer
from rest_framework.utils.mediatypes import media_type_matches

from tms_webhooks.api.problems import CONTENT_TYPE, Problem

MEDIA_TYPE = "application/json"
BODY_LIMIT = 262_144
"""The largest body of a request, in bytes."""
LARGEST_NUMBER = 1e300
MAX_DEPTH = 32
"""The maximum nesting of objects and lists in a body."""
_REFUSED = re.compile(r";\s*q=0(\.0*)?\s*(;|\Z)", re.IGNORECASE)
# NUL and lone surrogates: PostgreSQL stores neither.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class StrictJSONParser(BaseParser):
    """Parse one JSON object of limited size and depth; null is an empty one.

    Reject duplicate names, NaN and characters that no database stores.
    """

    media_type = MEDIA_TYPE

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        """Return the object; raise a `Problem` if the body is malformed or too large."""
        raw = stream.read(BODY_LIMIT + 1)
        if len(raw) > BODY_LIMIT:
            raise Problem("body-too-large", f"The body is larger than {BODY_LIMIT} bytes; send a smaller one.")
        try:
            # json.loads() of bytes would accept lone surrogates, so decode strictly first.
            data = json.loads(raw.decode(), object_pairs_hook=_without_duplicates, parse_constant=_reject_constant)
        except (ValueError, RecursionError) as error:
            raise _malformed(f"is not valid JSON: {_reason(error)}") from None
        if data is None:
            # A generated client in Java sends null where an optional body is left out.
            return {}
        if not isinstance(data, dict):
            raise _malformed("is not a JSON object; send an object, such as {}")
        _reject_unstorable(data)
        return data


class JSONNegotiation(DefaultContentNegotiation):
    """Negotiate by ``Accept`` alone: the parameter ``format`` is a filter of webhooks here."""

    settings: Any = SimpleNamespace(URL_FORMAT_OVERRIDE=None)

    def get_accept_list(self, request: Any) -> list[str]:
        """Return the media types that the caller accepts, with JSON for the type of problems.

        Those with the weight 0 are refused. A generated client names the documented types of an operation: only that of problems, if success has no body.
        """
        given = super().get_accept_list(request)
        accepted = [one for one in given if not _REFUSED.search(one)]
        if any(one.partition(";")[0].strip().lower() == MEDIA_TYPE for one in set(given) - set(accepted)):
            return []
        return [MEDIA_TYPE if media_type_matches(CONTENT_TYPE, one) else one for one in accepted]


class CompactJSONRenderer(JSONRenderer):
    """Render compact JSON in UTF-8."""

    compact = True
    ensure_ascii = False
    strict = True

    def get_indent(self, accepted_media_type: str | None, renderer_context: Mapping[str, Any]) -> int | None:
        """Return None: a response that is replayed for an idempotency key has the same bytes as the first."""
        return None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        names = [name for name, _value in pairs]
        duplicate = next(name for name in names if names.count(name) > 1)
        raise _malformed(f"has the name {duplicate[:80]!r} twice in an object; keep one")
    return data


def _reject_constant(name: str) -> NoReturn:
    raise _malformed(f"is not valid JSON: {name} is not a JSON number")


def _reject_unstorable(value: Any, depth: int = 0) -> None:
    if depth > MAX_DEPTH:
        raise _malformed(f"is nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, dict | list):
        for inner in (*value, *value.values()) if isinstance(value, dict) else value:
            _reject_unstorable(inner, depth + 1)
    elif isinstance(value, int | float) and not abs(value) <= LARGEST_NUMBER:
        raise _malformed("contains a number that is too large")
    elif isinstance(value, str) and _UNSTORABLE.search(value):
        raise _malformed("contains a character that can't be stored: NUL, or half of a surrogate pair")


def _malformed(what: str) -> Problem:
    return Problem("malformed-body", f"The body {what}.")


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeError):
        return "it is not UTF-8"
    return "it is nested too deep" if isinstance(error, RecursionError) else "a number has too many digits"
