"""The format ``custom``: the webhook's own content, and URLs of every format, with their ``{tokens}`` filled in."""

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
from tms_webhooks.payloads.formats.template import TokenPosition

TEXT = "text/plain; charset=utf-8"
LONGEST_URL = 8_000
"""Characters. What is longer most servers refuse."""

_BEGINNING = re.compile(r"[^/?]*//[^/?]*")


def render(event: Mapping[str, Any], shape: RequestFormat) -> Rendered:
    """Return the webhook's content with the values of an event."""
    place = template.position_in(shape.content, shape.content_type)
    body = template.fill(template.parse(shape.content, place), values_of(event))
    body.encode()
    default = JSON if place is TokenPosition.JSON_VALUE else TEXT
    return Rendered((shape.content_type or default)[:LONGEST_CONTENT_TYPE], body)


def fill_url(url: str, event: Mapping[str, Any]) -> str:
    """Return a URL with the values of an event. Raises `UnsafeURL` where they would lead to another place than meant."""
    beginning = _BEGINNING.match(url)
    if beginning is None or template.has_tokens(beginning.group()):
        raise UnsafeURL(
            _("URL: a token stands in its scheme, host or port; use tokens in the path and the query only.")
        )
    filled = template.fill(template.parse(url, TokenPosition.URL), values_of(event))
    if _dots(filled) > _dots(url):
        raise UnsafeURL(
            _("URL: with its tokens filled in a part of the path is '.' or '..'; put something beside the token.")
        )
    if len(filled) > LONGEST_URL:
        raise UnsafeURL(
            _("URL: with its tokens filled in it has %(length)d characters; %(limit)d is the limit.")
            % {"length": len(filled), "limit": LONGEST_URL}
        )
    return filled


def values_of(event: Mapping[str, Any]) -> Callable[[str], Any]:
    """Return a function from the name of a token to its value in an event; null where the event has none.

    Names in lower case are paths into the standard event, those with a capital are the API's.
    """

    @cache
    def flat() -> Mapping[str, Any]:
        return skillable.flat(event)

    def value_of(name: str) -> Any:
        if name == "truncated":
            return bool(event.get(name))
        return flat().get(name) if name[0].isupper() else value_at(event, name)

    return value_of


def _dots(url: str) -> int:
    """Count the segments of a path that lead up, or nowhere."""
    return sum(unquote(segment) in (".", "..") for segment in url.partition("?")[0].split("/"))
