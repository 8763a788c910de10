"""The ``webhooks`` of an OpenAPI 3.1 document: each event as a request that a receiver has to answer."""

from __future__ import annotations

from typing import Any

from tms_webhooks import catalogue
from tms_webhooks.catalogue import EventType
from tms_webhooks.documents.schemas import COMPONENTS, HEADERS, event_schemas, schema_name

TAG = "Received webhooks"
TAG_DESCRIPTION = (
    "What your receiver is called with, as POST unless the webhook says otherwise, and what it may answer."
)

ANSWERS = {
    "2XX": "Taken. Answer at once, and do the work later: an answer has to come within the webhook's timeout.",
    "410": "Nobody is here any more: the webhook is disabled at once.",
    "429": "Not now. `Retry-After` is obeyed, in seconds or as a date, up to 24 hours, and costs no attempt.",
    "503": "As 429.",
    "default": "Failed, redirects too: tried again on the webhook's schedule.",
}


def with_webhooks(document: dict[str, Any]) -> dict[str, Any]:
    """Add the events of the catalogue, their schemas, samples and headers, to an OpenAPI 3.1 document; return it."""
    event_types = catalogue.all_types()
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(event_schemas(event_types))
    components.setdefault("parameters", {}).update(_parameters())
    document.setdefault("tags", []).append({"name": TAG, "description": TAG_DESCRIPTION})
    document["webhooks"] = {one.name: {"post": _operation(one)} for one in event_types}
    return document


def _parameters() -> dict[str, Any]:
    return {
        name: {
            "name": name,
            "in": "header",
            "required": True,
            "description": schema["description"],
            "schema": {key: value for key, value in schema.items() if key != "description"},
        }
        for name, schema in HEADERS.items()
    }


def _operation(event_type: EventType) -> dict[str, Any]:
    return {
        "operationId": f"receive_{event_type.name.replace('.', '_')}",
        "tags": [TAG],
        "summary": event_type.name,
        "description": event_type.summary,
        # Not signed for by a key of the API, but by the webhook's own secret.
        "security": [],
        "parameters": [{"$ref": f"#/components/parameters/{name}"} for name in HEADERS],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": f"{COMPONENTS}{schema_name(event_type)}"},
                    "example": event_type.example(),
                }
            },
        },
        "responses": {code: {"description": text} for code, text in ANSWERS.items()},
    }
