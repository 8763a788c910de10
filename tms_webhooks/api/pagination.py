"""Pages by cursor: opaque, and good only for the caller and the filters that they were made for."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from django.core import signing
from django.core.exceptions import ValidationError
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.utils.urls import replace_query_param

from tms_webhooks.api.problems import Fault, InvalidCursor, InvalidRequest
from tms_webhooks.conf import app_settings

CURSOR = "cursor"
PAGE_SIZE = "page_size"
SALT = "tms_webhooks.api.cursor"

if TYPE_CHECKING:
    from django.db.models import QuerySet


class BoundCursorPagination(CursorPagination):
    """Pages in the order of the list's rows, or in the one that its filters asked for."""

    cursor_query_param = CURSOR
    page_size_query_param = PAGE_SIZE
    template = None

    def paginate_queryset(self, queryset: Any, request: Any, view: Any = None) -> list[Any] | None:
        """Return the rows of the page that the request asks for."""
        self._binding = _binding(request, view)
        try:
            return super().paginate_queryset(queryset, request, view)
        except (ValueError, ValidationError) as error:
            # The position in a cursor of another order.
            raise _refused() from error

    def get_page_size(self, request: Any) -> int:
        """Return how many rows the page has; raise `InvalidRequest` where the number asked for is none."""
        asked, most = request.query_params.get(PAGE_SIZE), app_settings.API_PAGE_LIMIT
        if asked is None:
            return min(app_settings.API_PAGE_SIZE, most)
        if not (asked.isascii() and asked.isdecimal() and len(asked) <= 9 and 1 <= int(asked) <= most):
            fault = Fault("parameter", PAGE_SIZE, "invalid", f"Give a whole number from 1 to {most}.")
            raise InvalidRequest("The page size is wrong.", faults=[fault])
        return int(asked)

    def get_ordering(self, request: Any, queryset: QuerySet[Any], view: Any) -> tuple[str, ...]:
        """Return the order of the rows, made total by their keys."""
        ordering: tuple[Any, ...] = tuple(queryset.query.order_by) or tuple(view.ordering)
        if ordering[-1].lstrip("-") not in ("pk", "id"):
            ordering = (*ordering, "-pk" if ordering[-1].startswith("-") else "pk")
        return ordering

    def decode_cursor(self, request: Any) -> Cursor | None:
        """Return the position that a cursor names; raise `InvalidCursor` for one that was not made for this list."""
        token = request.query_params.get(CURSOR)
        if token is None:
            return None
        try:
            binding, offset, reverse, position = signing.loads(token, salt=SALT)
        except (signing.BadSignature, TypeError, ValueError) as error:
            raise _refused() from error
        if binding != self._binding:
            raise _refused()
        return Cursor(offset=offset, reverse=reverse, position=position)

    def encode_cursor(self, cursor: Cursor) -> str:
        """Return the address of the page that begins at a position."""
        told = (self._binding, cursor.offset, cursor.reverse, cursor.position)
        return replace_query_param(self.base_url or "", CURSOR, signing.dumps(told, salt=SALT, compress=True))


def _binding(request: Any, view: Any) -> str:
    """Return a digest of the list, its filters and its caller."""
    caller = view.policy.caller(request)
    parameters = sorted(
        (name, values) for name, values in request.query_params.lists() if name not in (CURSOR, PAGE_SIZE)
    )
    text = repr((request.path, parameters, caller.kind, caller.id))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _refused() -> InvalidCursor:
    fault = Fault(
        "parameter", CURSOR, "invalid", "Take the whole address from `next` or `previous`, or begin without a cursor."
    )
    return InvalidCursor("The cursor was not made for this list with these filters and this caller.", faults=[fault])
