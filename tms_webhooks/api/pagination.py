"""Cursor pagination of lists. A cursor is opaque; the filters and the rights of the request apply to each page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rest_framework.pagination import BasePagination, Cursor, CursorPagination
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from tms_webhooks.api.problems import Problem, problem_at
from tms_webhooks.conf import app_settings
from tms_webhooks.exceptions import SecretError
from tms_webhooks.models.encryption import decrypt, encrypt

CURSOR = "cursor"
PAGE_SIZE = "page_size"
KIND = "list"
"""Marks cursors: the same keys encrypt other texts, such as the cursors of the feed."""


def whole_number(request: Any, name: str, least: int, most: int, *, default: Any = None) -> Any:
    """Return the whole number in a query parameter, or the default without one; raise a `Problem` for any other text."""
    text = request.query_params.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and least <= int(text) <= most):
        raise problem_at("parameter", name, "invalid", f"Use a whole number from {least} to {most}.")
    return int(text)


class SealedCursorPagination(CursorPagination):
    """Pages in the order of the primary key, with encrypted cursors."""

    cursor_query_param = CURSOR
    cursor_query_description = "The position of the page. Use the complete URL in `next` or `previous`."
    page_size_query_param = PAGE_SIZE
    page_size_query_description = "The maximum number of items on a page."
    template = None

    @property
    def readers(self) -> dict[str, Any]:
        """The functions that read the parameters of a page, by their names."""
        return {self.cursor_query_param: self.decode_cursor, PAGE_SIZE: self.get_page_size}

    def get_page_size(self, request: Any) -> int:
        """Return the requested page size; raise `InvalidRequest` if it is out of range."""
        limit = app_settings.API_PAGE_LIMIT
        return whole_number(request, PAGE_SIZE, 1, limit, default=min(app_settings.API_PAGE_SIZE, limit))

    def get_ordering(self, request: Any, queryset: Any, view: Any) -> tuple[str, ...]:
        return tuple(queryset.query.order_by or view.ordering)

    def decode_cursor(self, request: Any) -> Cursor | None:
        token = request.query_params.get(CURSOR)
        # `outbox.feed` reads the ``after`` of a feed, which may be empty.
        if token is None or self.cursor_query_param != CURSOR:
            return None
        try:
            kind, is_reverse, position = json.loads(decrypt(token + "=" * (-len(token) % 4)))
            if kind == KIND:
                return Cursor(offset=0, reverse=is_reverse, position=position)
        except (SecretError, TypeError, ValueError):
            pass
        raise self.invalid_cursor()

    def invalid_cursor(self) -> Problem:
        """Return the problem of a cursor that this list has not made."""
        return problem_at(
            "parameter",
            CURSOR,
            "invalid",
            "Use the complete URL in `next` or `previous`, or start without a cursor.",
            kind="invalid-cursor",
        )

    def encode_cursor(self, cursor: Cursor) -> str:
        # Encrypted, because keys count the rows of all organizations. No two rows have one position: no offset.
        token = encrypt(json.dumps([KIND, cursor.reverse, cursor.position])).rstrip("=")
        return replace_query_param(str(self.base_url), CURSOR, token)

    def get_paginated_response_schema(self, schema: Any) -> Any:
        """Return the JSON Schema of a page."""
        link = {"type": ["string", "null"], "format": "uri"}
        properties = {"next": link, "previous": link, "results": schema}
        return {"type": "object", "properties": properties, "required": list(properties)}

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Return the parameters of a list, with the limits of the settings."""
        cursor, size = super().get_schema_operation_parameters(view)
        limit = app_settings.API_PAGE_LIMIT
        size["schema"] |= {"minimum": 1, "maximum": limit, "default": min(app_settings.API_PAGE_SIZE, limit)}
        return [cursor, size]


class FeedPagination(SealedCursorPagination):
    """Describes the pages of the catch-up feed for the OpenAPI document; `outbox.feed` reads them."""

    cursor_query_param = "after"
    cursor_query_description = "The cursor of an earlier page. Without it, the feed begins with the oldest event; `latest` begins after the newest."

    def get_paginated_response_schema(self, schema: Any) -> Any:
        properties = {
            "results": schema,
            "cursor": {
                "type": "string",
                "description": "The value of `after` for the next request. Each page has a cursor, also the last one.",
            },
            "has_more": {"type": "boolean"},
        }
        return {"type": "object", "properties": properties, "required": list(properties)}


class SinglePagination(BasePagination):
    """A single page with all items, in the form of the other lists."""

    readers: Mapping[str, Any] = {}

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": None, "previous": None, "results": data})

    get_paginated_response_schema = SealedCursorPagination.get_paginated_response_schema
