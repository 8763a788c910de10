"""The format ``custom``: fill in the ``{tokens}`` of a webhook's content; and fill in URLs, for every format."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import unquote

from django.utils.translation import gettext as _

from tms_webhooks.catalogue.values import value_at
from tms_webhooks.exceptions import UnsafeURL
from tms_webhooks.payloads.formats import skillable, template
from tms_webhooks.payloads.formats.shape import JSON, LONGEST_CONTENT_TYPE, Rendered, RequestFormat
from tms_webhooks.payloads.formats.template import Token, TokenPosition, WrittenJson, json_text, written

# The content type of content that is not JSON.
TEXT = "text/plain; charset=utf-8"
# Characters; most servers refuse longer URLs.
LONGEST_URL = 8_000

# Scheme, host and port of a URL.
_BEGINNING = re.compile(r"[^/?]*//[^/?]*")


def render(event: Mapping[str, Any], shape: RequestFormat) -> Rendered:
    """Return the webhook's content, filled in with the values of an event."""
    content = shape.content_of(event.get("type", ""))
    position = template.position_in(content, shape.content_type)
    parts = template.parse(content, position)
    template.refuse_costly(parts)
    body = template.fill(parts, values_of(event))
    default = JSON if position is TokenPosition.JSON_VALUE else TEXT
    return Rendered((shape.content_type or default)[:LONGEST_CONTENT_TYPE], body)


def fill_url(url: str, event: Mapping[str, Any]) -> str:
    """Return a URL filled in with the values of an event. Raises `UnsafeURL` if they would change the URL's target."""
    beginning = _BEGINNING.match(url)
    if beginning is None or template.has_tokens(beginning.group()):
        raise UnsafeURL(
            _("URL: tokens are not allowed in the scheme, host or port. Use them only in the path and the query.")
        )
    filled = template.fill(template.parse(url, TokenPosition.URL), values_of(event))
    if _dots(filled) > _dots(url):
        raise UnsafeURL(
            _(
                "URL: with its tokens replaced, a part of the path is '.' or '..'. Add other characters next to the token."
            )
        )
    if len(filled) > LONGEST_URL:
        raise UnsafeURL(
            _("URL: with its tokens replaced it has %(length)d characters; the limit is %(limit)d.")
            % {"length": len(filled), "limit": LONGEST_URL}
        )
    return filled


def tokens_without_value(event: Mapping[str, Any], shape: RequestFormat) -> list[str]:
    """Return the tokens of a webhook's URL and content that are null or empty in a `tailored` event, in their order.

    A token with the format ``default`` is not among them.
    """
    value_of = values_of(event)
    return [name for name in names_without_default(shape, event.get("type", "")) if not written(value_of(name))]


def names_without_default(shape: RequestFormat, event_type: str) -> list[str]:
    """Return the tokens of `tokens_of` that have no ``default``, by their names, each once.

    A token with the format ``default:""`` has one: its user expects that the value can be empty.
    """
    tokens = tokens_of(shape, event_type)
    return list(dict.fromkeys(one.name for one in tokens if all(rule.name != "default" for rule in one.formats)))


def tokens_of(shape: RequestFormat, event_type: str) -> list[Token]:
    """Return the tokens of a webhook's URL and of its content for events of this type, in their order."""
    content = shape.content_of(event_type)
    parts = (
        *template.parse(shape.url, TokenPosition.URL),
        *template.parse(content, template.position_in(content, shape.content_type)),
    )
    return [part for part in parts if isinstance(part, Token)]


def values_of(event: Mapping[str, Any]) -> Callable[[str], Any]:
    """Return a function from the name of a token to its value in an event, or None.

    Names in lower case are paths in the standard event; names with a capital letter are those of the training system's API.
    """
    # Marks that an event lacks are false.
    flat = cache(lambda: {"EventTest": False, **skillable.flat(event)})
    standard = {"truncated": False, "test": False, **event}

    @cache
    def value_of(name: str) -> Any:
        value = flat().get(name) if name[0].isupper() else value_at(standard, name)
        return WrittenJson(json_text(value)) if isinstance(value, dict | list) else value

    return value_of


def _dots(url: str) -> int:
    """Return the number of "." and ".." segments in the path of a URL."""
    return sum(unquote(segment) in (".", "..") for segment in url.partition("?")[0].split("/"))
