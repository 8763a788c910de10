"""Pages by cursor: opaque, and good only for the caller and the filters that they were made for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.core import signing
from django.db.models import Q
from rest_framework.pagination import CursorPagination
from rest_framework.utils.urls import replace_query_param

from tms_webhooks.api.problems import Fault, InvalidCursor, InvalidRequest
from tms_webhooks.conf import app_settings

CURSOR = "cursor"
PAGE_SIZE = "page_size"
SALT = "tms_webhooks.api.cursor"


class Place(NamedTuple):
    """Between which rows a page begins: behind the one with these values, or before it where it is read backwards."""

    backwards: bool
    values: Sequence[Any]


class BoundCursorPagination(CursorPagination):
    """Pages in the order of the list's rows, or in the one that its filters asked for.

    Rows that are equal in that order are told apart by their keys, and by the database alone: what is equal is a matter of
    its collation.
    """

    cursor_query_param = CURSOR
    page_size_query_param = PAGE_SIZE
    template = None

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> list[Any]:
        """Return the rows of the page that the request asks for."""
        self._address = request.build_absolute_uri()
        self._binding = _binding(request, view)
        self._order = _order(queryset, view)
        size, place = self.get_page_size(request), self._place(request)
        backwards = place is not None and place.backwards
        order = [_reversed(name) for name in self._order] if backwards else self._order
        rows = queryset.order_by(*order)
        if place is not None:
            rows = rows.filter(_behind(order, place.values))
        found = list(rows[: size + 1])
        more, self._page = len(found) > size, found[:size]
        if backwards:
            self._page.reverse()
        self.has_next = backwards or more
        self.has_previous = more if backwards else place is not None
        return self._page

    def get_page_size(self, request: Any) -> int:
        """Return how many rows the page has; raise `InvalidRequest` where the number asked for is none."""
        asked, most = request.query_params.get(PAGE_SIZE), app_settings.API_PAGE_LIMIT
        if asked is None:
            return min(app_settings.API_PAGE_SIZE, most)
        if not (asked.isascii() and asked.isdecimal() and len(asked) <= 9 and 1 <= int(asked) <= most):
            fault = Fault("parameter", PAGE_SIZE, "invalid", f"Give a whole number from 1 to {most}.")
            raise InvalidRequest("The page size is wrong.", faults=[fault])
        return int(asked)

    def get_next_link(self) -> str | None:
        """Return the address of the page behind this one."""
        return self._link(self._page[-1], backwards=False) if self.has_next and self._page else None

    def get_previous_link(self) -> str | None:
        """Return the address of the page before this one."""
        return self._link(self._page[0], backwards=True) if self.has_previous and self._page else None

    def _link(self, row: Any, *, backwards: bool) -> str:
        values = [getattr(row, name.lstrip("-")) for name in self._order]
        told = [value.isoformat() if isinstance(value, datetime) else value for value in values]
        token = signing.dumps([self._binding, backwards, told], salt=SALT, compress=True)
        return replace_query_param(self._address, CURSOR, token)

    def _place(self, request: Any) -> Place | None:
        token = request.query_params.get(CURSOR)
        if token is None:
            return None
        try:
            binding, backwards, values = signing.loads(token, salt=SALT)
        except (signing.BadSignature, TypeError, ValueError) as error:
            raise _refused() from error
        if binding != self._binding or len(values) != len(self._order):
            raise _refused()
        return Place(backwards, values)


def _order(queryset: Any, view: Any) -> list[str]:
    """Return the order of the rows, made total by their keys."""
    order = list(queryset.query.order_by) or list(view.ordering)
    if order[-1].lstrip("-") not in ("pk", "id"):
        order.append("-pk" if order[-1].startswith("-") else "pk")
    return order


def _reversed(name: str) -> str:
    return name.removeprefix("-") if name.startswith("-") else f"-{name}"


def _behind(order: Sequence[str], values: Sequence[Any]) -> Q:
    """Return the filter for rows that come behind the one with these values."""
    name, value = order[0], values[0]
    field = name.removeprefix("-")
    further = Q(**{f"{field}__{'lt' if name.startswith('-') else 'gt'}": value})
    return further if len(order) == 1 else further | Q(**{field: value}) & _behind(order[1:], values[1:])


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
