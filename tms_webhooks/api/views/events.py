"""The catch-up feed of all events in a stable order, from any cursor, and the feed of one webhook."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.utils import timezone
from rest_framework.response import Response

from tms_webhooks.api.filters import referenced, visible_events, visible_webhooks
from tms_webhooks.api.pagination import FeedPagination
from tms_webhooks.api.problems import invalid_parameter
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

TYPES = parameter(
    "type",
    {"type": "array", "items": {"type": "string"}},
    "Event names and patterns, as in a subscription.",
    explode=True,
    style="form",
)
UNDELIVERED_TO = parameter(
    "undelivered_to", IDField.json_schema, "The id of a webhook. Only events that it should have received and has not."
)
SUBJECT = parameter(
    "subject",
    {"type": "string", "examples": ["class:8840"]},
    "Only events of this object: its noun, a colon and its id.",
)
EXTERNAL_ID = parameter(
    "external_id", {"type": "string"}, "Only events of objects with this id in the customer's own system."
)

OBJECT_PARAMETERS = (SUBJECT, EXTERNAL_ID)
"""The parameters of a feed that choose the events of an object."""


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
            limit=FeedPagination().get_page_size(self.request),
            **more,
        )

    def feed_response(self, page: feed.Page, **context: Any) -> Response:
        """Return the response with a page, whose serializers get ``context``."""
        self.more_context = context
        results = self.get_serializer(page.events, many=True).data
        return Response({"results": results, "cursor": page.cursor, "has_more": page.has_more})


class EventViewSet(FeedViewSet):
    """Events of the caller's organizations, and of their learners in other organizations."""

    row_kind = "event"
    queryset = Event.objects.all()
    lookup_url_kwarg = "id"
    parameters = {"list": (TYPES, UNDELIVERED_TO, *OBJECT_PARAMETERS)}

    def list(self, request: Any) -> Response:
        """Return a page of events, oldest first, and the cursor of the next page. Each page has a cursor, also the last one."""
        types = [name for value in request.query_params.getlist("type") for name in value.split(",")]
        try:
            page = self.read_feed(feed.read, self.organizations(Action.VIEW), types=types, events=self._undelivered())
        except UnknownEventType as error:
            raise invalid_parameter("type", "unknown", str(error)) from error
        return self.feed_response(page, shows_payload=self._shows_payload(page.events))

    def retrieve(self, request: Any, id: str) -> Response:  # noqa: A002 (the name in the URL)
        """Return one event."""
        event = self.find(visible_events(self), id, self.row_kind)
        self.more_context = {"shows_payload": self._shows_payload([event])}
        return self.response_of(EventSerializer, event)

    def _undelivered(self) -> Any:
        """Return the undelivered events of the webhook in ``undelivered_to``, or None without that parameter."""
        key, name = self.request.query_params.get(UNDELIVERED_TO.name), UNDELIVERED_TO.name
        return None if key is None else replay.undelivered(referenced(visible_webhooks(self), key, name))

    def _shows_payload(self, events: Sequence[Event]) -> Callable[[Event], bool]:
        """Return a function that says whether the caller may see an event's payload. One query serves all these events."""
        ids = {key for event in events for key in (event.organization_id, event.learner_organization_id)} - {None}
        allowed = self.organizations(Action.VIEW_PAYLOAD).filter(pk__in=ids).order_by()
        with_payloads = set(allowed.values_list("pk", flat=True))
        return lambda event: not with_payloads.isdisjoint({event.organization_id, event.learner_organization_id})


class WebhookEventViewSet(FeedViewSet, WebhookPartViewSet):
    """The feed of the webhook in the URL. The caller needs the permission to see the payloads of its organization."""

    queryset = Event.objects.none()
    serializer_class = WebhookEventSerializer
    needs = {"list": Action.VIEW_PAYLOAD}
    parameters = {"list": OBJECT_PARAMETERS}

    def list(self, request: Any, webhook_id: str) -> Response:
        """Return a page of the events that match the webhook's subscriptions, oldest first. A page may be empty and have
        more after it: the filters of a limited number of events are evaluated for each."""
        webhook = self.webhook()
        return self.feed_response(self.read_feed(feed.read_webhook, webhook), webhook=webhook)
