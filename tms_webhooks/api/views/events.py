"""The catch-up feed: all that happened, to be read on from any place."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

from django.utils import timezone
from rest_framework.response import Response

from tms_webhooks.api.filtersets import visible_webhooks
from tms_webhooks.api.pagination import FeedPagination
from tms_webhooks.api.problems import Fault, InvalidCursor, InvalidRequest, UnknownReference
from tms_webhooks.api.schema.parameters import TYPES, UNDELIVERED_TO
from tms_webhooks.api.schema.shim import extend_schema
from tms_webhooks.api.serializers.events import EventSerializer
from tms_webhooks.api.views.bases import ResourceViewSet
from tms_webhooks.choices import Action
from tms_webhooks.delivery import replay
from tms_webhooks.exceptions import CursorError, UnknownEventType
from tms_webhooks.models import Event
from tms_webhooks.models.event import PUBLIC_PREFIX
from tms_webhooks.outbox import feed

LONGEST_KEY = 18


class EventViewSet(ResourceViewSet):
    """Events of the caller's organizations, and of their learners elsewhere."""

    heading = "Catching up"
    queryset = Event.objects.all()
    serializer_class = EventSerializer
    pagination_class = FeedPagination
    lookup_url_kwarg = "id"
    lookup_value_regex = f"{PUBLIC_PREFIX}[0-9a-f]{{32}}"
    parameters = {"list": ("type", "undelivered_to")}

    @extend_schema(parameters=[TYPES, UNDELIVERED_TO])
    def list(self, request: Any) -> Response:
        """Return a page of events, and the cursor to read on from: also where there are no more yet."""
        try:
            page = feed.read(
                self.organizations(Action.VIEW),
                now=timezone.now(),
                after=request.query_params.get("after", ""),
                types=[name for value in request.query_params.getlist("type") for name in value.split(",")],
                events=self._undelivered(),
                limit=FeedPagination().get_page_size(request),
            )
        except CursorError as error:
            fault = Fault("parameter", "after", error.code, str(error))
            raise InvalidCursor("The cursor can't be read on from.", faults=[fault]) from error
        except UnknownEventType as error:
            raise InvalidRequest(
                "The filters are wrong.", faults=[Fault("parameter", "type", "unknown", str(error))]
            ) from error
        return Response({"results": self._told(page.events), "cursor": page.cursor, "has_more": page.has_more})

    def retrieve(self, request: Any, id: str) -> Response:  # noqa: A002 (the name in the address)
        """Return one event."""
        organizations = self.organizations(Action.VIEW).order_by().values("pk")
        uid = uuid.UUID(hex=id.removeprefix(PUBLIC_PREFIX))
        event = Event.objects.filter(feed.visible_to(organizations), uid=uid).first()
        if event is None:
            raise UnknownReference("There is no such event.")
        return Response(self._told([event])[0])

    def _undelivered(self) -> Any:
        """Return what the webhook that the caller names should have got and has not; None where they name none."""
        asked = self.request.query_params.get("undelivered_to")
        if asked is None:
            return None
        is_key = asked.isascii() and asked.isdecimal() and len(asked) <= LONGEST_KEY
        webhook = visible_webhooks(self.request).filter(pk=asked).first() if is_key else None
        if webhook is None:
            fault = Fault(
                "parameter", "undelivered_to", "unknown", "There is no such webhook; name one of yours by its id."
            )
            raise UnknownReference("The webhook is not there.", faults=[fault])
        return replay.undelivered(webhook)

    def _told(self, events: Sequence[Event]) -> Any:
        context = {**self.get_serializer_context(), "shows_payload": self._shows_payload(events)}
        return EventSerializer(events, many=True, context=context).data

    def _shows_payload(self, events: Sequence[Event]) -> Callable[[Event], bool]:
        """Return who may see what these events say, asked once for all of them."""
        keys = {key for event in events for key in (event.organization_id, event.learner_organization_id)} - {None}
        allowed = self.organizations(Action.VIEW_PAYLOAD).filter(pk__in=keys).order_by()
        open_to = set(allowed.values_list("pk", flat=True))
        return lambda event: not open_to.isdisjoint({event.organization_id, event.learner_organization_id})
