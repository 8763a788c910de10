"""Cursor pagination of lists. A cursor is opaque, and valid only for its list, filters and caller."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db.models import Q
from rest_framework.pagination import BasePagination, Cursor, CursorPagination
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from tms_webhooks.api.problems import ErrorItem, InvalidCursor, InvalidRequest
from tms_webhooks.conf import app_settings
from tms_webhooks.exceptions import SecretError
from tms_webhooks.models.encryption import decrypt, encrypt

CURSOR = "cursor"
PAGE_SIZE = "page_size"
KIND = "list"
"""Marks cursors: the same keys encrypt other texts, such as the cursors of the feed."""


class BoundCursorPagination(CursorPagination):
    """Pages in the order of the queryset, or else of the view, with cursors that are bound to caller and filters.

    The position of a cursor is the values of all fields of a total order; in Django REST framework it is one value. Only
    the database compares the values, because their equality depends on its collation.
    """

    cursor_query_param = CURSOR
    cursor_query_description = "The position of the page. Use the complete URL in `next` or `previous`."
    page_size_query_param = PAGE_SIZE
    page_size_query_description = "The maximum number of items on a page."
    template = None

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> Any:
        """Return the rows of the requested page."""
        self._binding = _binding(request, view)
        self.ordering = self.get_ordering(request, queryset, view)
        self._start = start = self._read_cursor(request)
        if start is not None:
            order = (
                [name[1:] if name.startswith("-") else f"-{name}" for name in self.ordering]
                if start.reverse
                else self.ordering
            )
            queryset = queryset.filter(_after(order, start.position))
        page: Any = super().paginate_queryset(queryset, request, view)
        # The row of the cursor is on the other side of the page.
        if start is not None and start.reverse:
            self.has_next = True
        elif start is not None:
            self.has_previous = True
        return page

    def get_page_size(self, request: Any) -> int:
        """Return the requested page size; raise `InvalidRequest` if it is out of range."""
        text, limit = request.query_params.get(PAGE_SIZE), app_settings.API_PAGE_LIMIT
        if text is None:
            return min(app_settings.API_PAGE_SIZE, limit)
        if not (text.isascii() and text.isdecimal() and len(text) <= 9 and 1 <= int(text) <= limit):
            raise InvalidRequest(
                "The page size is invalid.",
                ErrorItem("parameter", PAGE_SIZE, "invalid", f"Use a whole number from 1 to {limit}."),
            )
        return int(text)

    def get_ordering(self, request: Any, queryset: Any, view: Any) -> tuple[str, ...]:
        """Return a total order of the rows: the primary key comes last."""
        order = tuple(queryset.query.order_by or view.ordering)
        if order[-1].lstrip("-") in ("pk", "id"):
            return order
        return (*order, "-pk" if order[-1].startswith("-") else "pk")

    def get_next_link(self) -> str | None:
        return self._link(self.page[-1], reverse=False) if self.has_next and self.page else None

    def get_previous_link(self) -> str | None:
        return self._link(self.page[0], reverse=True) if self.has_previous and self.page else None

    def decode_cursor(self, request: Any) -> Cursor | None:
        """Return the cursor of the request without its position, by which `paginate_queryset` has already filtered."""
        return None if self._start is None else self._start._replace(position=None)

    def encode_cursor(self, cursor: Cursor) -> str:
        # Encrypted, because keys count the rows of all organizations.
        token = encrypt(json.dumps([KIND, self._binding, cursor.reverse, cursor.position], default=str)).rstrip("=")
        return replace_query_param(str(self.base_url), CURSOR, token)

    def get_paginated_response_schema(self, schema: Any) -> Any:
        return page_of(schema)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Return the parameters of a list, with the limits of the settings."""
        cursor, size = super().get_schema_operation_parameters(view)
        limit = app_settings.API_PAGE_LIMIT
        size["schema"] |= {"minimum": 1, "maximum": limit, "default": min(app_settings.API_PAGE_SIZE, limit)}
        return [cursor, size]

    def _link(self, row: Any, *, reverse: bool) -> str:
        values = [getattr(row, name.lstrip("-")) for name in self.ordering]
        position: Any = [value.isoformat() if isinstance(value, datetime) else value for value in values]
        return self.encode_cursor(Cursor(offset=0, reverse=reverse, position=position))

    def _read_cursor(self, request: Any) -> Any:
        token = request.query_params.get(CURSOR)
        if token is None:
            return None
        try:
            kind, binding, reverse, position = json.loads(decrypt(token + "=" * (-len(token) % 4)))
        except (SecretError, TypeError, ValueError) as error:
            raise _invalid_cursor() from error
        if (kind, binding) != (KIND, self._binding) or len(position) != len(self.ordering):
            raise _invalid_cursor()
        return Cursor(offset=0, reverse=reverse, position=position)


class FeedPagination(BoundCursorPagination):
    """Describes the pages of the catch-up feed for the OpenAPI document; `outbox.feed` reads them."""

    cursor_query_param = "after"
    cursor_query_description = "The cursor of an earlier page. Without it, the feed begins with the oldest event; `latest` begins after the newest."

    def get_paginated_response_schema(self, schema: Any) -> Any:
        cursor = "The value of `after` for the next request. Each page has a cursor, also the last one."
        return {
            "type": "object",
            "properties": {
                "results": schema,
                "cursor": {"type": "string", "description": cursor},
                "has_more": {"type": "boolean"},
            },
            "required": ["results", "cursor", "has_more"],
        }


class SinglePagination(BasePagination):
    """A single page with all items, in the form of the other lists."""

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"next": None, "previous": None, "results": data})

    def get_paginated_response_schema(self, schema: Any) -> Any:
        return page_of(schema)


def page_of(results: Any) -> dict[str, Any]:
    """Return the JSON Schema of a page of a list."""
    link = {"type": ["string", "null"], "format": "uri"}
    properties = {"next": link, "previous": link, "results": results}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _after(order: Sequence[str], values: Sequence[Any]) -> Q:
    """Return the filter for the rows after the row with these values."""
    name, value = order[0], values[0]
    field = name.removeprefix("-")
    after = Q(**{f"{field}__{'lt' if name.startswith('-') else 'gt'}": value})
    return after if len(order) == 1 else after | Q(**{field: value}) & _after(order[1:], values[1:])


def _binding(request: Any, view: Any) -> str:
    """Return a digest of the list, its filters and its caller."""
    parameters = sorted(
        (name, values) for name, values in request.query_params.lists() if name not in (CURSOR, PAGE_SIZE)
    )
    text = repr((request.path, parameters, view.caller_scope))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _invalid_cursor() -> InvalidCursor:
    return InvalidCursor(
        "The cursor does not match this list, its filters or the caller.",
        ErrorItem(
            "parameter", CURSOR, "invalid", "Use the complete URL in `next` or `previous`, or start without a cursor."
        ),
    )
