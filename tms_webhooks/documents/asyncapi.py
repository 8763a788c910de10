"""Build the AsyncAPI 3 document of the catalogue: one channel per noun, one message per event type."""

from __future__ import annotations

from typing import Any

from tms_webhooks import __version__, catalogue
from tms_webhooks.catalogue import EventType
from tms_webhooks.documents.schemas import COMPONENTS, HEADERS, REQUIRED_HEADERS, camel_case, event_schemas, schema_name

VERSION = "3.0.0"

INFO = {
    "title": "Webhooks of a Training Management System",
    "version": __version__,
    "description": (
        "The requests to a webhook, in the format `standard`. Each request is signed according to "
        "[Standard Webhooks](https://www.standardwebhooks.com/). Each event is delivered at least once."
    ),
}


def asyncapi_document() -> dict[str, Any]:
    """Return the document as JSON values."""
    groups = catalogue.grouped()
    event_types = catalogue.all_types()
    return {
        "asyncapi": VERSION,
        "info": INFO,
        "defaultContentType": "application/json",
        "channels": {noun: _channel(noun, members) for noun, members in groups.items()},
        "operations": {
            f"send{camel_case(noun)}Events": {
                "action": "send",
                "summary": f"Send {members[0].noun.title.lower()} events to a receiver.",
                "channel": {"$ref": f"#/channels/{noun}"},
                "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
            }
            for noun, members in groups.items()
        },
        "components": {
            "messages": {one.name: _message(one) for one in event_types},
            "schemas": {
                "RequestHeaders": {"type": "object", "properties": HEADERS, "required": list(REQUIRED_HEADERS)},
                **event_schemas(event_types),
            },
        },
    }


def _channel(noun: str, members: list[EventType]) -> dict[str, Any]:
    return {
        # Each webhook has its own URL.
        "address": None,
        "title": f"{members[0].noun.title} events",
        "description": f"Subscribe to `{noun}.*`, or to single events.",
        "messages": {one.name: {"$ref": f"#/components/messages/{one.name}"} for one in members},
    }


def _message(event_type: EventType) -> dict[str, Any]:
    return {
        "name": event_type.name,
        "title": event_type.name,
        "summary": event_type.summary,
        "contentType": "application/json",
        "headers": {"$ref": f"{COMPONENTS}RequestHeaders"},
        "payload": {"$ref": f"{COMPONENTS}{schema_name(event_type)}"},
        "examples": [{"name": "sample", "payload": event_type.example()}],
    }
