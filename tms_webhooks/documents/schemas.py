"""The JSON Schemas of events as the components of a document: what events of one noun share stands there once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from tms_webhooks.catalogue import EventType
from tms_webhooks.catalogue.schema import JSONSchema
from tms_webhooks.delivery import signing
from tms_webhooks.worker import send

COMPONENTS = "#/components/schemas/"

SHARED = {"data": "Data", "previous": "Previous"}
"""The parts of an event that are large and mostly those of its noun, with how their components' names end."""

HEADERS: dict[str, JSONSchema] = {
    signing.ID_HEADER: {
        "type": "string",
        "pattern": "^evt_[0-9a-f]{32}$",
        "description": "The event's id, the same with every attempt and every replay: handle an id once.",
    },
    signing.TIMESTAMP_HEADER: {
        "type": "string",
        "pattern": "^[0-9]+$",
        "description": "When this attempt was made, in seconds since 1970 UTC. Refuse one that is minutes away from now.",
    },
    signing.SIGNATURE_HEADER: {
        "type": "string",
        "pattern": "^v1,[A-Za-z0-9+/]+=*( v1,[A-Za-z0-9+/]+=*)*$",
        "description": (
            "By Standard Webhooks 1.0.0: `v1,` and the base64 HMAC-SHA256 of `{webhook-id}.{webhook-timestamp}.{body}`; "
            "after a rotation one for each secret, with blanks between."
        ),
    },
    send.DELIVERY_HEADER: {
        "type": "string",
        "pattern": "^[0-9]+$",
        "description": "The delivery's id: this event's to this webhook. Not signed.",
    },
    send.ATTEMPT_HEADER: {
        "type": "string",
        "pattern": "^[1-9][0-9]*$",
        "description": "The number of this attempt at the delivery. Not signed.",
    },
}
"""The headers of each request beside those of HTTP."""


def camel_case(name: str) -> str:
    """Return a dotted name as components are named: ``ClassCancelled`` for "class.cancelled"."""
    return "".join(part.capitalize() for part in name.replace(".", "_").split("_"))


def schema_name(event_type: EventType) -> str:
    """Return the name of an event type's component, which is no resource's of the API."""
    return f"{camel_case(event_type.name)}Event"


def event_schemas(event_types: Iterable[EventType]) -> dict[str, JSONSchema]:
    """Return the component of each event type, and those that they refer to."""
    components: dict[str, JSONSchema] = {}
    events: dict[str, JSONSchema] = {}
    for event_type in event_types:
        whole = event_type.schema()
        properties = dict(whole["properties"])
        for part, ending in SHARED.items():
            properties[part] = _shared(components, event_type, properties[part], ending)
        # Without the keywords that make it a document of its own: a reference in it would be one into itself.
        kept = {key: value for key, value in whole.items() if not key.startswith("$")}
        events[schema_name(event_type)] = {**kept, "properties": properties}
    return events | components


def _shared(
    components: dict[str, JSONSchema], event_type: EventType, schema: JSONSchema, ending: str
) -> dict[str, Any]:
    """Refer to the noun's component, or to the event's own where it promises more than its noun."""
    for owner in (event_type.noun.name, event_type.name):
        name = f"{camel_case(owner)}Event{ending}"
        if components.setdefault(name, schema) == schema:
            break
    return {"$ref": f"{COMPONENTS}{name}"}
