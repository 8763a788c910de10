"""Templates: text with ``{tokens}``, and the escaping of values by the position of their token."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import escape

# A value that JSON can represent.
Json = Any

# "{{word}}" is an escaped "{word}". Other braces, such as those of JSON, are literal.
_TOKEN = re.compile(r"\{\{([A-Za-z][A-Za-z0-9_.]*)\}\}|\{([A-Za-z][A-Za-z0-9_.]*)\}")
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
        literal, name = match.groups()
        if literal is not None:
            yield f"{{{literal}}}"
        else:
            yield Token(name, TokenPosition.JSON_TEXT if quoted and position is TokenPosition.JSON_VALUE else position)
        end = match.end()
    yield text[end:]


def tokens(parts: Iterable[str | Token]) -> list[str]:
    """Return the names of a template's tokens, each once, in order of appearance."""
    return list(dict.fromkeys(part.name for part in parts if isinstance(part, Token)))


def fill(parts: Iterable[str | Token], value_of: Callable[[str], Json]) -> str:
    """Return the text with its tokens replaced by values, each escaped for its position."""
    return "".join(part if isinstance(part, str) else _WRITERS[part.position](value_of(part.name)) for part in parts)


def written(value: Json) -> str:
    """Return a value as text: empty for null, text unchanged, anything else as JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else _json(value)


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


_WRITERS: dict[TokenPosition, Callable[[Json], str]] = {
    TokenPosition.JSON_VALUE: _json,
    TokenPosition.JSON_TEXT: lambda value: _json(written(value))[1:-1],
    TokenPosition.FORM: lambda value: quote_plus(written(value), safe=""),
    TokenPosition.XML: lambda value: escape(_NOT_IN_XML.sub("\ufffd", written(value)), {'"': "&quot;", "'": "&apos;"}),
    # Not every database can store a NUL character.
    TokenPosition.TEXT: lambda value: written(value).replace("\x00", "\ufffd"),
    TokenPosition.URL: lambda value: quote(written(value), safe=""),
}
