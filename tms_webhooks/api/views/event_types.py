"""The catalogue of event types, with their JSON Schemas and examples."""

from __future__ import annotations

import difflib
from typing import Any

from rest_framework.decorators import action
from rest_framework.response import Response

from tms_webhooks.api.filters import did_you_mean
from tms_webhooks.api.pagination import SinglePagination
from tms_webhooks.api.problems import ErrorItem, InvalidRequest, UnknownReference
from tms_webhooks.api.schema import shapes
from tms_webhooks.api.schema.parameters import EVENT_TYPE, GROUP, VERSION
from tms_webhooks.api.schema.resources import extend_schema
from tms_webhooks.api.views.resource import ResourceViewSet
from tms_webhooks.catalogue import EventType, registry
from tms_webhooks.catalogue.versions import example_at, missing_step, schema_at
from tms_webhooks.exceptions import UnknownEventType


class EventTypeViewSet(ResourceViewSet):
    """Event types. They come from the registry instead of a table, and are the same for every caller."""

    heading = "Event types"
    pagination_class = SinglePagination
    lookup_url_kwarg = "name"
    lookup_value_regex = "[A-Za-z0-9_.]{1,100}"
    parameters = {"list": ("group",), "json_schema": ("version",), "example": ("version",)}

    @extend_schema(responses={200: shapes.EVENT_TYPE}, parameters=[GROUP], filters=False)
    def list(self, request: Any) -> Response:
        """Return all event types, or those of one group."""
        group = request.query_params.get("group")
        groups = registry.grouped()
        if group is not None and group not in groups:
            similar = did_you_mean(difflib.get_close_matches(group, groups))
            detail = f"Unknown group; choose one of {', '.join(groups)}.{similar}"
            raise InvalidRequest("A filter is invalid.", errors=[ErrorItem("parameter", "group", "unknown", detail)])
        chosen = registry.all_types() if group is None else groups[group]
        return self.get_paginated_response([self._as_json(event_type) for event_type in chosen])

    @extend_schema(responses={200: shapes.EVENT_TYPE}, parameters=[EVENT_TYPE])
    def retrieve(self, request: Any, name: str) -> Response:
        """Return one event type."""
        return Response(self._as_json(_event_type(name)))

    @extend_schema(responses={200: shapes.JSON_SCHEMA}, parameters=[EVENT_TYPE, VERSION])
    # Not named `schema`: Django REST framework uses that attribute.
    @action(detail=True, methods=["get"], url_path="schema", url_name="schema")
    def json_schema(self, request: Any, name: str) -> Response:
        """Return the JSON Schema of an event type, by default of its newest version."""
        event_type = _event_type(name)
        return Response(schema_at(event_type, self._version(event_type)))

    @extend_schema(responses={200: shapes.EXAMPLE_EVENT}, parameters=[EVENT_TYPE, VERSION])
    @action(detail=True, methods=["get"])
    def example(self, request: Any, name: str) -> Response:
        """Return an example event that is valid by the schema, by default of the newest version."""
        event_type = _event_type(name)
        return Response(example_at(event_type, self._version(event_type)))

    def _as_json(self, event_type: EventType) -> dict[str, Any]:
        return {
            "name": event_type.name,
            "group": event_type.noun.name,
            "title": event_type.noun.title,
            "summary": event_type.summary,
            "version": event_type.version,
            "versions": _versions(event_type),
            "deprecated": event_type.deprecated,
            "offered": event_type.offered,
            "schema": self.url_of("event-type-schema", name=event_type.name),
            "example": self.url_of("event-type-example", name=event_type.name),
        }

    def _version(self, event_type: EventType) -> int:
        requested = self.request.query_params.get("version")
        versions = _versions(event_type)
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


def _versions(event_type: EventType) -> list[int]:
    """Return the versions that a webhook can choose, oldest first."""
    return [number for number in range(1, event_type.version + 1) if missing_step(event_type, number) is None]
