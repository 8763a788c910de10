"""The catalogue of event types, with their JSON Schemas and examples."""

from __future__ import annotations

import difflib
from typing import Any

from rest_framework.decorators import action
from rest_framework.response import Response

from tms_webhooks.api.filters import did_you_mean
from tms_webhooks.api.pagination import SinglePagination
from tms_webhooks.api.problems import ErrorItem, InvalidRequest, UnknownReference
from tms_webhooks.api.schema.resources import FREE_OBJECT, extend_schema
from tms_webhooks.api.schema.shim import parameter
from tms_webhooks.api.serializers.results import EventTypeSerializer, versions_of
from tms_webhooks.api.views.resource import ResourceViewSet
from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.catalogue.versions import example_at, schema_at
from tms_webhooks.exceptions import UnknownEventType

EVENT_TYPE = parameter(
    "name",
    {"type": "string", "pattern": "^[A-Za-z0-9_.]{1,100}$", "examples": ["class.cancelled"]},
    "An event type.",
    location="path",
)
GROUP = parameter("group", {"type": "string"}, "Only the event types of this group, such as `class`.")
VERSION = parameter(
    "version", {"type": "integer", "minimum": 1}, "The version of the event type; by default the newest."
)


class EventTypeViewSet(ResourceViewSet):
    """Event types. They come from the registry instead of a table, and are the same for every caller."""

    heading = "Event types"
    pagination_class = SinglePagination
    serializer_class = EventTypeSerializer
    lookup_url_kwarg = "name"
    lookup_value_regex = "[A-Za-z0-9_.]{1,100}"
    parameters = {
        "list": (GROUP,),
        "retrieve": (EVENT_TYPE,),
        "json_schema": (EVENT_TYPE, VERSION),
        "example": (EVENT_TYPE, VERSION),
    }

    @extend_schema(responses=EventTypeSerializer(many=True), filters=False)
    def list(self, request: Any) -> Response:
        """Return all event types, or those of one group."""
        group = request.query_params.get("group")
        groups = registry.grouped()
        if group is not None and group not in groups:
            similar = did_you_mean(difflib.get_close_matches(group, groups))
            detail = f"Unknown group; choose one of {', '.join(groups)}.{similar}"
            raise InvalidRequest("A filter is invalid.", errors=[ErrorItem("parameter", "group", "unknown", detail)])
        chosen = registry.all_types() if group is None else groups[group]
        return self.get_paginated_response(self.get_serializer(chosen, many=True).data)

    @extend_schema(responses=EventTypeSerializer)
    def retrieve(self, request: Any, name: str) -> Response:
        """Return one event type."""
        return Response(self.get_serializer(_event_type(name)).data)

    @extend_schema(responses={200: {**FREE_OBJECT, "description": "A JSON Schema, draft 2020-12."}})
    # Not named `schema`: Django REST framework uses that attribute.
    @action(detail=True, methods=["get"], url_path="schema", url_name="schema")
    def json_schema(self, request: Any, name: str) -> Response:
        """Return the JSON Schema of an event type, by default of its newest version."""
        event_type = _event_type(name)
        return Response(schema_at(event_type, self._version(event_type)))

    @extend_schema(responses={200: {**FREE_OBJECT, "description": "A complete event that is valid by the schema."}})
    @action(detail=True, methods=["get"])
    def example(self, request: Any, name: str) -> Response:
        """Return an example event that is valid by the schema, by default of the newest version."""
        event_type = _event_type(name)
        return Response(example_at(event_type, self._version(event_type)))

    def _version(self, event_type: EventType) -> int:
        requested = self.request.query_params.get("version")
        versions = versions_of(event_type)
        if requested is None:
            return event_type.version
        if requested not in {str(version) for version in versions}:
            detail = f"Unknown version; choose one of {', '.join(map(str, versions))}."
            raise InvalidRequest(
                "The version is invalid.", errors=[ErrorItem("parameter", "version", "unknown", detail)]
            )
        return int(requested)


def _event_type(name: str) -> EventType:
    try:
        return registry.get(name)
    except UnknownEventType as error:
        raise UnknownReference(str(error)) from error
