"""Pages of lists. A cursor is opaque, and valid only for the list, the filters and the caller that it was made for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.core import signing
from django.db.models import Q
from rest_framework.pagination import BasePagination, Cursor, CursorPagination
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from tms_webhooks.api.problems import Fault, InvalidCursor, InvalidRequest
from tms_webhooks.api.schema import shapes
from tms_webhooks.conf import app_settings

CURSOR = "cursor"
PAGE_SIZE = "page_size"
SALT = "tms_webhooks.api.cursor"


class BoundCursorPagination(CursorPagination):
    """Pages in the order of the queryset, or by default of the view.

    The position of a cursor of Django REST framework is the value of one field. Here it is the values of all fields of a
    total order, and only the database compares them: whether two values are equal depends on its collation.
    """

    cursor_query_param = CURSOR
    cursor_query_description = "Where the page begins: follow the whole address in `next`."
    page_size_query_param = PAGE_SIZE
    page_size_query_description = "The maximum number of items on a page."
    template = None

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> Any:
        """Return the rows of the requested page."""
        self._binding = _binding(request, view)
        self.ordering = self.get_ordering(request, queryset, view)
        self._start = start = self._read_cursor(request)
        if start is not None:
            order = [_reversed(name) for name in self.ordering] if start.reverse else self.ordering
            queryset = queryset.filter(_after(order, start.position))
        page: Any = super().paginate_queryset(queryset, request, view)
        # The row of the cursor itself is on the side that the page was read from.
        if start is not None and start.reverse:
            self.has_next = True
        elif start is not None:
            self.has_previous = True
        return page

    def get_page_size(self, request: Any) -> int:
        """Return the requested number of rows; raise `InvalidRequest` for one out of range."""
        text, most = request.query_params.get(PAGE_SIZE), app_settings.API_PAGE_LIMIT
        if text is None:
            return min(app_settings.API_PAGE_SIZE, most)
        if not (text.isascii() and text.isdecimal() and len(text) <= 9 and 1 <= int(text) <= most):
            fault = Fault("parameter", PAGE_SIZE, "invalid", f"Give a whole number from 1 to {most}.")
            raise InvalidRequest("The page size is wrong.", faults=[fault])
        return int(text)

    def get_ordering(self, request: Any, queryset: Any, view: Any) -> tuple[str, ...]:
        """Return the order of the rows, with the key last, so that no two rows are equal."""
        order = tuple(queryset.query.order_by or view.ordering)
        if order[-1].lstrip("-") in ("pk", "id"):
            return order
        return (*order, "-pk" if order[-1].startswith("-") else "pk")

    def get_next_link(self) -> str | None:
        """Return the address of the next page."""
        return self._link(self.page[-1], reverse=False) if self.has_next and self.page else None

    def get_previous_link(self) -> str | None:
        """Return the address of the previous page."""
        return self._link(self.page[0], reverse=True) if self.has_previous and self.page else None

    def decode_cursor(self, request: Any) -> Cursor | None:
        """Return the cursor of the request without its position: the queryset is filtered already."""
        return None if self._start is None else self._start._replace(position=None)

    def encode_cursor(self, cursor: Cursor) -> str:
        """Return the address of the page that begins at the cursor."""
        token = signing.dumps([self._binding, cursor.reverse, cursor.position], salt=SALT, compress=True)
        return replace_query_param(str(self.base_url), CURSOR, token)

    def get_paginated_response_schema(self, schema: Any) -> Any:
        """Return the schema of a page."""
        return shapes.page_of(schema)

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        """Return the parameters of a list, with the limits of the settings."""
        cursor, size = super().get_schema_operation_parameters(view)
        most = app_settings.API_PAGE_LIMIT
        size["schema"] |= {"minimum": 1, "maximum": most, "default": min(app_settings.API_PAGE_SIZE, most)}
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
            binding, reverse, position = signing.loads(token, salt=SALT)
        except (signing.BadSignature, TypeError, ValueError) as error:
            raise _refused() from error
        if binding != self._binding or len(position) != len(self.ordering):
            raise _refused()
        return Cursor(offset=0, reverse=reverse, position=position)


class FeedPagination(BoundCursorPagination):
    """Describes the pages of the catch-up feed, which `outbox.feed` reads; its cursors have no end."""

    cursor_query_param = "after"
    cursor_query_description = "The cursor of an earlier page. Without it, the feed begins with the oldest event; `latest` begins with the next one."

    def get_paginated_response_schema(self, schema: Any) -> Any:
        """Return the schema of a page of the feed."""
        return shapes.feed_of(schema)


class SinglePagination(BasePagination):
    """One page that holds everything, in the form of the other lists."""

    def get_paginated_response(self, data: Any) -> Response:
        """Return the page."""
        return Response({"next": None, "previous": None, "results": data})

    def get_paginated_response_schema(self, schema: Any) -> Any:
        """Return the schema of the page."""
        return shapes.record(next={"type": "null"}, previous={"type": "null"}, results=schema)


def _reversed(name: str) -> str:
    return name.removeprefix("-") if name.startswith("-") else f"-{name}"


def _after(order: Sequence[str], values: Sequence[Any]) -> Q:
    """Return the filter for the rows after the one with these values."""
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


def _refused() -> InvalidCursor:
    fault = Fault(
        "parameter", CURSOR, "invalid", "Take the whole address from `next` or `previous`, or begin without a cursor."
    )
    return InvalidCursor("The cursor was not made for this list with these filters and this caller.", faults=[fault])
