"""The catch-up feed of all events in a stable order, from any cursor, and the feed of one webhook."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.utils import timezone
from rest_framework.response import Response

from tms_webhooks.api.filters import referenced, visible_events, visible_webhooks
from tms_webhooks.api.pagination import FeedPagination
from tms_webhooks.api.problems import problem_at
from tms_webhooks.api.schema.shim import parameter
from tms_webhooks.api.serializers.base import IDField
from tms_webhooks.api.serializers.records import EventSerializer, WebhookEventSerializer
from tms_webhooks.api.views.resource import ResourceViewSet, WebhookPartViewSet
from tms_webhooks.choices import Action
from tms_webhooks.delivery import replay
from tms_webhooks.exceptions import UnknownEventType
from tms_webhooks.models import Event
from tms_webhooks.models.event import Subject
from tms_webhooks.outbox import feed

OBJECT_PARAMETERS = (
    parameter(
        "subject",
        {"type": "string", "examples": ["class:8840"]},
        "Only events of this object: its noun, a colon and its id.",
    ),
    parameter("external_id", {"type": "string"}, "Only events of objects with this id in the customer's own system."),
)
"""The parameters of a feed that choose the events of an object."""

PARAMETERS = (
    parameter(
        "type",
        {"type": "array", "items": {"type": "string"}},
        "Event names and patterns, as in a subscription.",
        explode=True,
        style="form",
    ),
    parameter(
        "undelivered_to",
        IDField.json_schema,
        "The id of a webhook. Only events that it should have received and has not.",
    ),
    *OBJECT_PARAMETERS,
)


class FeedViewSet(ResourceViewSet):
    """A resource whose list is a feed of events."""

    heading = "Events"
    serializer_class: Any = EventSerializer
    pagination_class = FeedPagination

    def read_feed(self, read: Callable[..., feed.Page], *args: Any, **more: Any) -> feed.Page:
        """Return the page that the query parameters choose; raise a `Problem` for a subject that is none."""
        given = self.request.query_params
        among = [Event.objects.with_external_id(given["external_id"])] if "external_id" in given else []
        if "subject" in given:
            among.append(Subject.parse(given["subject"]).events)
        return read(
            *args,
            now=timezone.now(),
            after=given.get("after", ""),
            among=among,
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
    parameters = {"list": PARAMETERS}

    def list(self, request: Any) -> Response:
        """Return a page of events, oldest first, and the cursor of the next page. Each page has a cursor, also the last one."""
        types = [name for value in request.query_params.getlist("type") for name in value.split(",")]
        key = request.query_params.get("undelivered_to")
        events = key and replay.undelivered(referenced(visible_webhooks(self), key, "undelivered_to"))
        try:
            page = self.read_feed(feed.read, self.organizations(Action.VIEW), types=types, events=events)
        except UnknownEventType as error:
            raise problem_at("parameter", "type", "unknown", str(error)) from error
        self._find_visible_payloads(page.events)
        return self.feed_response(page)

    def retrieve(self, request: Any, id: str) -> Response:  # noqa: A002 (the name in the URL)
        """Return one event."""
        event = self.find(visible_events(self), id, self.row_kind)
        self._find_visible_payloads([event])
        return self.response_of(EventSerializer, event)

    def shows_payload(self, event: Event) -> bool:
        """Return whether the caller may see the payload of an event in the answer."""
        return not self._with_payloads.isdisjoint({event.organization_id, event.learner_organization_id})

    def _find_visible_payloads(self, events: Iterable[Event]) -> None:
        """Find the organizations of these events in which the caller may see payloads, by one query."""
        keys = {key for event in events for key in (event.organization_id, event.learner_organization_id)} - {None}
        allowed = self.organizations(Action.VIEW_PAYLOAD).filter(pk__in=keys).order_by()
        self._with_payloads = set(allowed.values_list("pk", flat=True))


class WebhookEventViewSet(FeedViewSet, WebhookPartViewSet):
    """The feed of the webhook in the URL. The caller needs the permission to see the payloads of its organization."""

    queryset = Event.objects.none()
    serializer_class = WebhookEventSerializer
    needs = {"list": Action.VIEW_PAYLOAD}
    parameters = {"list": OBJECT_PARAMETERS}

    def list(self, request: Any, webhook_id: str) -> Response:
        """Return a page of the events that match the webhook's subscriptions, oldest first. A page may be empty and have
        more after it: the filters of a limited number of events are evaluated for each."""
        self.shown_webhook = self.webhook()
        return self.feed_response(self.read_feed(feed.read_webhook, self.shown_webhook))
