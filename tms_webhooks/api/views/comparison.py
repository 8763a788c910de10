"""The digests of the objects of a webhook, by which a receiver compares its copy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rest_framework.decorators import action
from rest_framework.pagination import Cursor
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from tms_webhooks.api.pagination import SealedCursorPagination
from tms_webhooks.api.problems import invalid_parameter
from tms_webhooks.api.schema.resources import extend_schema
from tms_webhooks.api.schema.shim import parameter
from tms_webhooks.api.serializers.results import BucketsSerializer, ObjectDigestsSerializer
from tms_webhooks.api.views.resource import ResourceViewSet
from tms_webhooks.comparison import Comparison, Place
from tms_webhooks.digests import MOST_BUCKETS
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.snapshot import EVERYTHING, Selection

BUCKETS_BY_DEFAULT = 64

NOUN = parameter(
    "noun",
    {"type": "string", "examples": ["class"]},
    "The noun of the objects: one that a snapshot of the webhook can have.",
    required=True,
)
BUCKETS = parameter(
    "buckets",
    {"type": "integer", "minimum": 1, "maximum": MOST_BUCKETS, "default": BUCKETS_BY_DEFAULT},
    "The number of buckets into which the ids are divided.",
)
BUCKET = parameter(
    "bucket", {"type": "integer", "minimum": 0}, "Only the objects of the bucket with this number, from 0."
)
FIRST = parameter(
    "first", {"type": "integer", "minimum": 0, "default": 0}, "The first bucket of the page. Use the URL in `next`."
)
PAGES = tuple(
    parameter(one["name"], one["schema"], one["description"])
    for one in SealedCursorPagination().get_schema_operation_parameters(None)
)

COMPARISON_PARAMETERS = {"objects": (NOUN, BUCKETS, BUCKET, *PAGES), "digests": (NOUN, BUCKETS, FIRST)}


class ComparisonViewSet(ResourceViewSet):
    """Adds the actions to a viewset of webhooks."""

    @extend_schema(responses=ObjectDigestsSerializer)
    @action(detail=True)
    def objects(self, request: Any, pk: str) -> Response:
        """Return the id and the digest of each object that a webhook receives. A page can be empty and have more after it."""
        pages = SealedCursorPagination()
        pages.base_url = request.build_absolute_uri()
        with _reported():
            buckets = self._whole(BUCKETS, 1, MOST_BUCKETS, BUCKETS_BY_DEFAULT)
            bucket = self._whole(BUCKET, 0, buckets - 1)
            comparison = self._comparison(EVERYTHING if bucket is None else Selection(buckets=(bucket,), of=buckets))
            page = comparison.objects(self._place(pages), limit=pages.get_page_size(request))
        position: Any = page.next
        following = None if position is None else pages.encode_cursor(Cursor(0, False, position))
        return Response(ObjectDigestsSerializer({"next": following, "results": page.objects}).data)

    @extend_schema(responses=BucketsSerializer)
    @action(detail=True)
    def digests(self, request: Any, pk: str) -> Response:
        """Return the number of objects and the digest of each bucket. If there are many objects, a page has some of the buckets."""
        with _reported():
            comparison, buckets = self._comparison(), self._whole(BUCKETS, 1, MOST_BUCKETS, BUCKETS_BY_DEFAULT)
            page = comparison.buckets(of=buckets, first=self._whole(FIRST, 0, buckets - 1, 0))
        url = request.build_absolute_uri()
        following = None if page.next is None else replace_query_param(url, FIRST.name, page.next)
        return Response(BucketsSerializer({"next": following, "cursor": page.cursor, "results": page.buckets}).data)

    def _comparison(self, selection: Selection = EVERYTHING) -> Comparison:
        """Return the comparison of the webhook of the URL, by the noun of the query."""
        webhook, noun = self.get_object(), self.request.query_params.get(NOUN.name)
        if noun is None:
            raise invalid_parameter(NOUN.name, "required", "Missing; name one noun, such as noun=class.")
        return Comparison(webhook, noun, selection)

    def _whole(self, one: Any, least: int, most: int, default: Any = None) -> Any:
        """Return the whole number in a parameter; the default without one."""
        text = self.request.query_params.get(one.name)
        if text is None:
            return default
        if not (text.isascii() and text.isdecimal() and len(text) <= 9 and least <= int(text) <= most):
            raise invalid_parameter(one.name, "invalid", f"Use a whole number from {least} to {most}.")
        return int(text)

    def _place(self, pages: SealedCursorPagination) -> Place | None:
        """Return the place in the cursor of the query; None without one."""
        cursor = pages.decode_cursor(self.request)
        if cursor is None:
            return None
        position: Any = cursor.position
        if not isinstance(position, list):
            # Of another list.
            raise pages.invalid_cursor()
        return Place(*position)


@contextmanager
def _reported() -> Iterator[None]:
    """Raise an error of a comparison as the problem of its parameter."""
    try:
        yield
    except ReplayError as error:
        raise invalid_parameter(error.field, error.code, str(error)) from error
