"""The JSON Schemas of events as components of a document; the events of one noun share components."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tms_webhooks.catalogue import EventType
from tms_webhooks.catalogue.schema import DIALECT, JSONSchema
from tms_webhooks.delivery import signing
from tms_webhooks.models.public_ids import DELIVERY_PREFIX, public_id_pattern
from tms_webhooks.worker import send

COMPONENTS = "#/components/schemas/"
DEFINITIONS = "#/$defs/"

SHARED = {"data": "Data", "previous": "Previous"}
"""Large parts of an event that its noun mostly defines, with the suffixes of their components' names."""

HEADERS: dict[str, JSONSchema] = {
    signing.ID_HEADER: {
        "type": "string",
        "pattern": "^evt_[0-9a-f]{32}$",
        "description": "The event's id, equal in all attempts and replays: process each id once.",
    },
    signing.TIMESTAMP_HEADER: {
        "type": "string",
        "pattern": "^[0-9]+$",
        "description": "The time of this attempt, in seconds since 1970 UTC. Refuse a request if it differs by minutes from your clock.",
    },
    signing.SIGNATURE_HEADER: {
        "type": "string",
        "pattern": "^v1,[A-Za-z0-9+/]+=*( v1,[A-Za-z0-9+/]+=*)*$",
        "description": (
            "As in Standard Webhooks 1.0.0: `v1,` and the base64 HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.{body}`; "
            "after a rotation one signature per secret, separated by spaces."
        ),
    },
    send.DELIVERY_HEADER: {
        "type": "string",
        "pattern": f"^{public_id_pattern(DELIVERY_PREFIX, parts=2)}$",
        "description": "The id of the delivery of this event to this webhook. Not signed.",
    },
    send.ATTEMPT_HEADER: {
        "type": "string",
        "pattern": "^[1-9][0-9]*$",
        "description": "The number of this attempt, from 1. Not signed.",
    },
    send.TEST_HEADER: {
        "const": "true",
        "description": "For a test, which a user sent. Other requests lack it. Not signed; the body has the mark, too.",
    },
}
"""The headers of a request, in addition to those of HTTP."""

REQUIRED_HEADERS = tuple(name for name in HEADERS if name != send.TEST_HEADER)
"""The headers of each request."""


def camel_case(name: str) -> str:
    """Return a dotted name in the style of components: ``ClassCancelled`` for "class.cancelled"."""
    return "".join(part.capitalize() for part in name.replace(".", "_").split("_"))


def schema_name(event_type: EventType) -> str:
    """Return the name of an event type's component. The suffix avoids the names of the API's resources."""
    return f"{camel_case(event_type.name)}Event"


def event_schemas(event_types: Iterable[EventType], *, at: str = COMPONENTS) -> dict[str, JSONSchema]:
    """Return the components of these event types, and the components to which they refer, which stand at a JSON pointer."""
    components: dict[str, JSONSchema] = {}
    events: dict[str, JSONSchema] = {}
    for event_type in event_types:
        schema = event_type.schema()
        properties = dict(schema["properties"])
        for part, ending in SHARED.items():
            described = _untitled(properties[part])
            fields = described["properties"]
            # A Python client of OpenAPI Generator gives all lists of a class the type of the first one: that of ids.
            of_ids = [name for name in fields if fields[name].get("items", {}).get("type") == ["integer", "string"]]
            described["properties"] = {name: fields[name] for name in (*of_ids, *fields)}
            # The component of the noun, or the event's own if its schema differs.
            for owner in (event_type.noun.name, event_type.name):
                name = f"{camel_case(owner)}Event{ending}"
                if components.setdefault(name, described) == described:
                    break
            properties[part] = {"$ref": f"{at}{name}"}
        # Without the keywords of a separate document: its references would resolve inside it.
        kept = {key: value for key, value in _untitled(schema).items() if not key.startswith("$")}
        deprecated = {"deprecated": True} if event_type.deprecated else {}
        events[schema_name(event_type)] = {**kept, **deprecated, "properties": properties}
    return events | components


def event_schema(event_types: Sequence[EventType]) -> JSONSchema:
    """Return one JSON Schema that matches an event of any of these types; each has its definition."""
    return {
        "$schema": DIALECT,
        "title": "WebhookEvent",
        "oneOf": [{"$ref": f"{DEFINITIONS}{schema_name(one)}"} for one in event_types],
        "$defs": event_schemas(event_types, at=DEFINITIONS),
    }


def swagger_schema(schemas: Iterable[Mapping[str, Any]], title: str) -> JSONSchema:
    """Return one schema in the words of Swagger 2.0, with the fields of all these JSON Schemas. ``title`` is for people.

    Any field may be null. One that may have several types has none.
    """
    merged: JSONSchema = {"x-ms-summary": title}
    types: set[str] = set()
    fields: dict[str, list[JSONSchema]] = {}
    for one in schemas:
        kind = one.get("type", [])
        types.update([kind] if isinstance(kind, str) else kind)
        if "items" in one:
            merged["items"] = swagger_schema([one["items"]], title)
        for name, field in one.get("properties", {}).items():
            fields.setdefault(name, []).append(field)
    types.discard("null")
    if len(types) == 1:
        merged["type"] = types.pop()
    if fields:
        merged["properties"] = {name: swagger_schema(each, f"{title} {name}") for name, each in fields.items()}
    return merged


def _untitled(schema: Mapping[str, Any]) -> JSONSchema:
    """Return a schema without its title: generators would name classes by it, and several events have the same."""
    return {key: value for key, value in schema.items() if key != "title"}
