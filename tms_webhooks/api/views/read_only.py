"""What callers can only read: the feed of all events and of one webhook, the catalogue of event types, and their own rights."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from django.utils import timezone
from rest_framework import mixins
from rest_framework.response import Response

from tms_webhooks.api.filters import OF_EVENTS, OF_FEEDS, visible_events
from tms_webhooks.api.pagination import FeedPagination, SinglePagination
from tms_webhooks.api.problems import Problem
from tms_webhooks.api.schema.resources import FREE_OBJECT, extend_schema, row_action
from tms_webhooks.api.schema.shim import parameter
from tms_webhooks.api.serializers.answers import (
    EventSerializer,
    EventTypeSerializer,
    MeSerializer,
    WebhookEventSerializer,
)
from tms_webhooks.api.views.resource import ResourceViewSet, WebhookPartViewSet
from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.choices import Action, PayloadDetail
from tms_webhooks.digests import digested
from tms_webhooks.exceptions import UnknownEventType
from tms_webhooks.models import Event
from tms_webhooks.outbox import feed


class FeedViewSet(ResourceViewSet):
    """A resource whose list is a feed of events."""

    heading = "Events"
    serializer_class: Any = EventSerializer
    pagination_class = FeedPagination

    def read_feed(self, read: Callable[..., feed.Page], *args: Any, **more: Any) -> feed.Page:
        """Return the page that the query parameters choose."""
        return read(
            *args,
            now=timezone.now(),
            after=self.request.query_params.get("after", ""),
            among=[self.chosen[name] for name in OF_FEEDS if name in self.chosen],
            limit=self.paginator.get_page_size(self.request),  # type: ignore[union-attr]
            **more,
        )

    def feed_response(self, page: feed.Page) -> Response:
        """Return the response with a page."""
        results = self.get_serializer(page.events, many=True).data
        return Response({"results": results, "cursor": page.cursor, "has_more": page.has_more})


class EventViewSet(FeedViewSet):
    """Events of the caller's organizations, and of their learners in other organizations."""

    row_kind = "event"
    queryset = Event.objects.all()
    lookup_url_kwarg = "id"
    list_filters = OF_EVENTS

    def list(self, request: Any) -> Response:
        """Return a page of events, oldest first, and the cursor of the next page. Each page has a cursor, also the last one."""
        types, events = self.chosen.get("type", ()), self.chosen.get("undelivered_to")
        page = self.read_feed(feed.read, self.organizations(Action.VIEW), types=types, events=events)
        self._find_visible_payloads(page.events)
        return self.feed_response(page)

    def retrieve(self, request: Any, id: str) -> Response:  # noqa: A002 (the name in the URL)
        """Return one event."""
        event = self.find(visible_events(self), id, self.row_kind)
        self._find_visible_payloads([event])
        return self.response_of(EventSerializer, event)

    def shows_payload(self, event: Event) -> bool:
        """Return whether the caller may see the payload of an event in the answer."""
        return not self._with_payloads.isdisjoint(event.viewers)

    def _find_visible_payloads(self, events: Iterable[Event]) -> None:
        """Find the organizations of these events in which the caller may see payloads, by one query."""
        keys = {key for event in events for key in event.viewers}
        allowed = self.organizations(Action.VIEW_PAYLOAD).filter(pk__in=keys).order_by()
        self._with_payloads = set(allowed.values_list("pk", flat=True))


class WebhookEventViewSet(FeedViewSet, WebhookPartViewSet):
    """The feed of the webhook in the URL. The caller needs the permission to see the payloads of its organization."""

    queryset = Event.objects.none()
    serializer_class = WebhookEventSerializer
    needs = {"list": Action.VIEW_PAYLOAD}
    list_filters = OF_FEEDS

    def list(self, request: Any, webhook_id: str) -> Response:
        """Return a page of the events that match the webhook's subscriptions, oldest first. A page may be empty and have
        more after it: the filters of a limited number of events are evaluated for each."""
        self.shown_webhook = self.webhook()
        return self.feed_response(self.read_feed(feed.read_webhook, self.shown_webhook))


MOST_SAMPLES, MOST_ORGANIZATIONS = 3, 5
"""The number of samples, and of the caller's organizations whose events they are."""

EVENT_TYPE = parameter(
    "name",
    {"type": "string", "pattern": "^[A-Za-z0-9_.]{1,100}$", "examples": ["class.cancelled"]},
    "An event type.",
    location="path",
)


class EventTypeViewSet(mixins.RetrieveModelMixin, ResourceViewSet):
    """Event types. They come from the registry instead of a table, and are the same for every caller."""

    heading = "Event types"
    row_kind = "event type"
    pagination_class = SinglePagination
    serializer_class = EventTypeSerializer
    lookup_url_kwarg = "name"
    parameters = dict.fromkeys(("retrieve", "json_schema", "example", "samples"), (EVENT_TYPE,))

    @extend_schema(responses=EventTypeSerializer(many=True), filters=False)
    def list(self, request: Any) -> Response:
        """Return all event types."""
        return self.get_paginated_response(self.get_serializer(registry.all_types(), many=True).data)

    # Not named `schema`: Django REST framework uses that attribute.
    @row_action(
        {200: {**FREE_OBJECT, "description": "A JSON Schema, draft 2020-12."}}, url_path="schema", url_name="schema"
    )
    def json_schema(self) -> Response:
        """Return the JSON Schema of an event type."""
        return Response(self.get_object().schema())

    @row_action({200: {**FREE_OBJECT, "description": "A complete event that is valid by the schema."}})
    def example(self) -> Response:
        """Return an example event that is valid by the schema."""
        return Response(self.get_object().example())

    @row_action({200: {"type": "array", "items": FREE_OBJECT, "description": "One to three events."}})
    def samples(self) -> Response:
        """Return up to three events as a webhook gets them: the latest of the caller's organizations, or else the example."""
        kind, organizations = self.get_object(), self.organizations(Action.VIEW_PAYLOAD).order_by("pk")
        events = Event.objects.latest_of(
            list(organizations.values_list("pk", flat=True)[:MOST_ORGANIZATIONS]), kind.name
        )
        bodies = [json.loads(digested(one.body, PayloadDetail.FULL)) for one in events[:MOST_SAMPLES]]
        return Response(bodies or [kind.example()])

    def get_object(self, **_options: Any) -> EventType:
        """Return the event type of the URL; raise a `Problem` for an unknown name."""
        try:
            return registry.get(self.kwargs["name"])
        except UnknownEventType as error:
            raise Problem("not-found", str(error)) from error


class MeViewSet(ResourceViewSet):
    """The organizations in which the caller may view webhooks."""

    heading = "Caller"
    ordering = ("pk",)
    paged = ("list",)

    @extend_schema(responses=MeSerializer, filters=False)
    def list(self, request: Any) -> Response:
        """Return the caller, and its rights in each organization. The organizations are paged, as in other lists."""
        page: Any = self.paginate_queryset(self.organizations(Action.VIEW).order_by())
        keys = [organization.pk for organization in page]
        # One query for each right.
        allowed = {
            action: set(self.organizations(action).filter(pk__in=keys).order_by().values_list("pk", flat=True))
            for action in Action
        }
        rights = [
            {
                "id": one.pk,
                "name": str(one),
                "actions": [action.value for action in Action if one.pk in allowed[action]],
            }
            for one in page
        ]
        return Response(
            MeSerializer(
                {
                    "caller": self.actor,
                    **self.get_paginated_response(rights).data,
                }
            ).data
        )
