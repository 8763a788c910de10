"""What callers can only read: the catalogue of event types, and their own rights."""

from __future__ import annotations

import json
from typing import Any

from rest_framework import mixins
from rest_framework.response import Response

from tms_webhooks.api.pagination import SinglePagination
from tms_webhooks.api.problems import Problem
from tms_webhooks.api.schema.resources import FREE_OBJECT, extend_schema, row_action
from tms_webhooks.api.schema.shim import parameter
from tms_webhooks.api.serializers.results import EventTypeSerializer, MeSerializer
from tms_webhooks.api.views.resource import ResourceViewSet
from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.choices import Action, PayloadDetail
from tms_webhooks.digests import digested
from tms_webhooks.exceptions import UnknownEventType
from tms_webhooks.models import Event

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
        caller, keys = self.actor, [organization.pk for organization in page]
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
                    "caller": {"kind": caller.kind, "id": caller.id or "", "label": caller.label},
                    **self.get_paginated_response(rights).data,
                }
            ).data
        )
