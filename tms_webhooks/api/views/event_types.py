"""The catalogue: which events there are, and what they hold."""

from __future__ import annotations

from typing import Any

from rest_framework.decorators import action
from rest_framework.response import Response

from tms_webhooks.api.pagination import SinglePagination
from tms_webhooks.api.problems import Fault, InvalidRequest, UnknownReference
from tms_webhooks.api.schema import shapes
from tms_webhooks.api.schema.parameters import EVENT_TYPE, GROUP, VERSION
from tms_webhooks.api.schema.shim import extend_schema
from tms_webhooks.api.views.bases import ResourceViewSet
from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.catalogue.versions import example_at, missing_step, schema_at
from tms_webhooks.exceptions import UnknownEventType


class EventTypeViewSet(ResourceViewSet):
    """Event types. They are the same for every caller, and no rows."""

    heading = "Event types"
    pagination_class = SinglePagination
    lookup_url_kwarg = "name"
    lookup_value_regex = "[A-Za-z0-9_.]{1,100}"
    parameters = {"list": ("group",), "json_schema": ("version",), "example": ("version",)}

    @extend_schema(responses={200: shapes.EVENT_TYPE}, parameters=[GROUP], filters=False)
    def list(self, request: Any) -> Response:
        """Return all of them, or those of one group."""
        group = request.query_params.get("group")
        groups = registry.grouped()
        if group is not None and group not in groups:
            detail = f"There is no such group; there are {', '.join(groups)}."
            raise InvalidRequest("The filters are wrong.", faults=[Fault("parameter", "group", "unknown", detail)])
        chosen = registry.all_types() if group is None else groups[group]
        return self.get_paginated_response([self._told(event_type) for event_type in chosen])

    @extend_schema(responses={200: shapes.EVENT_TYPE}, parameters=[EVENT_TYPE])
    def retrieve(self, request: Any, name: str) -> Response:
        """Return one of them."""
        return Response(self._told(_found(name)))

    @extend_schema(responses={200: shapes.JSON_SCHEMA}, parameters=[EVENT_TYPE, VERSION])
    # Not `schema`, which is where Django REST framework keeps something else.
    @action(detail=True, methods=["get"], url_path="schema", url_name="schema")
    def json_schema(self, request: Any, name: str) -> Response:
        """Return its JSON Schema, in the newest version or the one that is asked for."""
        event_type = _found(name)
        return Response(schema_at(event_type, self._version(event_type)))

    @extend_schema(responses={200: shapes.SAMPLE}, parameters=[EVENT_TYPE, VERSION])
    @action(detail=True, methods=["get"])
    def example(self, request: Any, name: str) -> Response:
        """Return a whole event that fits the schema, in the newest version or the one that is asked for."""
        event_type = _found(name)
        return Response(example_at(event_type, self._version(event_type)))

    def _told(self, event_type: EventType) -> dict[str, Any]:
        return {
            "name": event_type.name,
            "group": event_type.noun.name,
            "title": event_type.noun.title,
            "summary": event_type.summary,
            "version": event_type.version,
            "versions": _versions(event_type),
            "deprecated": event_type.deprecated,
            "schema": self.address_of("event-type-schema", name=event_type.name),
            "example": self.address_of("event-type-example", name=event_type.name),
        }

    def _version(self, event_type: EventType) -> int:
        asked = self.request.query_params.get("version")
        versions = _versions(event_type)
        if asked is None:
            return event_type.version
        if asked not in {str(version) for version in versions}:
            detail = f"There is no such version; there are {', '.join(map(str, versions))}."
            raise InvalidRequest("The version is wrong.", faults=[Fault("parameter", "version", "unknown", detail)])
        return int(asked)


def _found(name: str) -> EventType:
    try:
        return registry.get(name)
    except UnknownEventType as error:
        raise UnknownReference(str(error)) from error


def _versions(event_type: EventType) -> list[int]:
    """Return the versions that a receiver can ask for, oldest first."""
    return [number for number in range(1, event_type.version + 1) if missing_step(event_type, number) is None]
