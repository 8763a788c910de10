"""The digests of the objects of a webhook, by which a receiver compares its copy."""

from __future__ import annotations

from typing import Any

from rest_framework.pagination import Cursor
from rest_framework.utils.urls import replace_query_param

from tms_webhooks.api.pagination import SealedCursorPagination, whole_number
from tms_webhooks.api.problems import invalid_parameter
from tms_webhooks.api.schema.resources import row_action
from tms_webhooks.api.schema.shim import parameter
from tms_webhooks.api.serializers.results import BucketsSerializer, ObjectDigestsSerializer
from tms_webhooks.api.views.resource import ResourceViewSet
from tms_webhooks.comparison import Comparison, Place
from tms_webhooks.digests import MOST_BUCKETS
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

    @row_action(ObjectDigestsSerializer)
    def objects(self) -> Any:
        """Return the id and the digest of each object that a webhook receives. A page can be empty and have more after it."""
        pages = SealedCursorPagination()
        pages.base_url = self.request.build_absolute_uri()
        buckets = self._buckets()
        bucket = whole_number(self.request, BUCKET.name, 0, buckets - 1)
        comparison = self._comparison(EVERYTHING if bucket is None else Selection(buckets=(bucket,), of=buckets))
        page = comparison.objects(self._place(pages), limit=pages.get_page_size(self.request))
        position: Any = page.next
        following = None if position is None else pages.encode_cursor(Cursor(0, False, position))
        return {"next": following, "results": page.objects}

    @row_action(BucketsSerializer)
    def digests(self) -> Any:
        """Return the number of objects and the digest of each bucket. If there are many objects, a page has some of the buckets."""
        comparison, buckets = self._comparison(), self._buckets()
        first = whole_number(self.request, FIRST.name, 0, buckets - 1, default=0)
        page, url = comparison.buckets(of=buckets, first=first), self.request.build_absolute_uri()
        following = None if page.next is None else replace_query_param(url, FIRST.name, page.next)
        return {"next": following, "cursor": page.cursor, "results": page.buckets}

    def _buckets(self) -> int:
        """Return the number of buckets."""
        return int(whole_number(self.request, BUCKETS.name, 1, MOST_BUCKETS, default=BUCKETS_BY_DEFAULT))

    def _comparison(self, selection: Selection = EVERYTHING) -> Comparison:
        """Return the comparison of the webhook of the URL, by the noun of the query."""
        webhook, noun = self.get_object(), self.request.query_params.get(NOUN.name)
        if noun is None:
            raise invalid_parameter(NOUN.name, "required", "Missing; name one noun, such as noun=class.")
        return Comparison(webhook, noun, selection)

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
