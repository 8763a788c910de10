"""Reading and writing JSON: strictly what it says, whatever the settings of Django REST framework are."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, NoReturn

from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer

from tms_webhooks.api.problems import BodyTooLarge, Fault, MalformedBody, escaped
from tms_webhooks.conf import app_settings

MEDIA_TYPE = "application/json"
DEEPEST = 32
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class StrictJSONParser(BaseParser):
    """Reads one JSON object of bounded size, without duplicate names, NaN, and characters that no database keeps."""

    media_type = MEDIA_TYPE

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        """Return the object; raise `MalformedBody` or `BodyTooLarge`."""
        limit = app_settings.API_BODY_LIMIT
        raw = stream.read(limit + 1)
        if len(raw) > limit:
            raise BodyTooLarge(f"The body has more than {limit} bytes; send less.")
        try:
            # Decoded here: json.loads() would let halves of pairs through.
            data = json.loads(raw.decode(), object_pairs_hook=_without_duplicates, parse_constant=_refuse_constant)
        except MalformedBody:
            raise
        except (ValueError, RecursionError) as error:
            raise MalformedBody(f"The body is not JSON: {_reason(error)}.") from None
        if not isinstance(data, dict):
            raise MalformedBody("The body is JSON, and not an object; send one, such as {}.")
        _refuse_unstorable(data, "", depth=0)
        return data


class PlainNegotiation(DefaultContentNegotiation):
    """Chooses by ``Accept`` alone: here ``?format=`` is that of a webhook."""

    settings: Any = SimpleNamespace(URL_FORMAT_OVERRIDE=None)


class PlainJSONRenderer(JSONRenderer):
    """Writes compact JSON in UTF-8."""

    compact = True
    ensure_ascii = False
    strict = True

    def get_indent(self, accepted_media_type: str | None, renderer_context: Mapping[str, Any]) -> int | None:
        """Never indent: an answer that is stored for an idempotency key is the same byte for byte."""
        return None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        names = [name for name, _value in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise MalformedBody(f"The body has {twice[:80]!r} twice in one object; name it once.")
    return data


def _refuse_constant(name: str) -> NoReturn:
    raise MalformedBody(f"The body is not JSON: {name} is no number there.")


def _refuse_unstorable(value: Any, pointer: str, *, depth: int) -> None:
    if depth > DEEPEST:
        raise MalformedBody("The body is not JSON that can be kept: it is nested too deep.")
    if isinstance(value, dict):
        for key, inner in value.items():
            _refuse_unstorable(key, pointer, depth=depth)
            _refuse_unstorable(inner, f"{pointer}/{escaped(key)}", depth=depth + 1)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _refuse_unstorable(inner, f"{pointer}/{index}", depth=depth + 1)
    elif isinstance(value, float) and math.isinf(value):
        raise _unstorable(pointer, "a number that is too large")
    elif isinstance(value, str) and _UNSTORABLE.search(value):
        raise _unstorable(pointer, "a character that can't be kept: NUL, or half of a pair")


def _unstorable(pointer: str, what: str) -> MalformedBody:
    fault = Fault("pointer", f"#{pointer}", "unstorable", f"It has {what}; leave it out.")
    return MalformedBody(f"The body has {what}.", faults=[fault])


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeError):
        return "it is not UTF-8"
    return "it is nested too deep" if isinstance(error, RecursionError) else "a number has too many digits"
