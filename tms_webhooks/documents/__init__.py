"""The catalogue as machine-readable documents: the webhooks of OpenAPI, AsyncAPI, and a connector for Power Automate.

They describe the format ``standard`` with full detail, the default of a webhook.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from tms_webhooks import __version__, catalogue
from tms_webhooks.catalogue import EventType
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery.retry import RATE_LIMITED, SHORTEST_DEFERRAL
from tms_webhooks.documents.schemas import (
    COMPONENTS,
    HEADERS,
    REQUIRED_HEADERS,
    camel_case,
    event_schemas,
    schema_name,
    swagger_schema,
)

ASYNCAPI = "3.1.0"

INFO = {
    "title": "Webhooks of a Training Management System",
    "version": __version__,
    "description": (
        "The requests to a webhook, in the format `standard`. Each request is signed according to "
        "[Standard Webhooks](https://www.standardwebhooks.com/). Each event is delivered at least once."
    ),
}
TAG = "Received webhooks"

ANSWERS = {
    "2XX": "Accepted. Answer within the webhook's timeout: store the event, answer, and process it later.",
    "410": "Gone. The webhook is disabled immediately.",
    "429": "Too many requests. `Retry-After`, in seconds or as a date, is obeyed up to 24 hours. Without it, the webhook is held for "
    f"{SHORTEST_DEFERRAL:g} second, within {RATE_LIMITED / 60:g} minutes of a success. Neither counts as a failed attempt.",
    "503": "With `Retry-After`, like 429. Otherwise failed.",
    "default": "Failed, redirects included: retried on the webhook's schedule.",
}


def with_webhooks(document: dict[str, Any]) -> dict[str, Any]:
    """Add all event types with their schemas, samples and headers to an OpenAPI 3.1 document; return it."""
    event_types = catalogue.all_types()
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(event_schemas(event_types))
    components.setdefault("parameters", {}).update(_parameters())
    # Another list: the settings of drf-spectacular may have this one.
    document["tags"] = [
        *document.get("tags", ()),
        {
            "name": TAG,
            "description": "The requests to your receiver, as POST unless the webhook has another method, and the possible answers.",
        },
    ]
    document["webhooks"] = {one.name: {"post": _operation(one)} for one in event_types}
    return document


def _parameters() -> dict[str, Any]:
    return {
        name: {
            "name": name,
            "in": "header",
            "required": name in REQUIRED_HEADERS,
            "description": schema["description"],
            "schema": {key: value for key, value in schema.items() if key != "description"},
        }
        for name, schema in HEADERS.items()
    }


def _operation(event_type: EventType) -> dict[str, Any]:
    return {
        "operationId": f"receive_{event_type.name.replace('.', '_')}",
        # Generators of clients leave it out: a client receives it, and never calls it.
        "x-internal": True,
        "tags": [TAG],
        "summary": event_type.name,
        "description": event_type.summary,
        # The webhook's secret signs it; no API key is used.
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


def asyncapi_document() -> dict[str, Any]:
    """Return the document as JSON values."""
    groups = catalogue.grouped()
    event_types = catalogue.all_types()
    return {
        "asyncapi": ASYNCAPI,
        "info": INFO,
        "defaultContentType": "application/json",
        "channels": {
            noun: {
                # Each webhook has its own URL.
                "address": None,
                "title": f"{members[0].noun.title} events",
                "description": f"Subscribe to `{noun}.*`, or to single events.",
                "messages": {one.name: {"$ref": f"#/components/messages/{one.name}"} for one in members},
            }
            for noun, members in groups.items()
        },
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


def power_automate_document(event_types: Iterable[EventType]) -> dict[str, Any]:
    """Return a Swagger 2.0 document, from which Power Automate and Logic Apps make a connector. Its trigger is a hook.

    The trigger offers those of the event types to which a webhook can subscribe, and has the fields of all of them. The URL
    is the setting API_URL, or else an example.
    https://learn.microsoft.com/connectors/custom-connectors/create-webhook-trigger
    """
    offered = [one for one in event_types if one.offered]
    url = urlsplit(app_settings.API_URL or "https://tms.example.com/api")
    properties = {
        "target_url": {"type": "string", "x-ms-notification-url": True, "x-ms-visibility": "internal"},
        "event": {"type": "string", "x-ms-summary": "Event", "enum": [one.name for one in offered]},
    }
    hook = {"type": "object", "properties": properties, "required": [*properties]}
    return {
        "swagger": "2.0",
        "info": INFO,
        "schemes": [url.scheme],
        "host": url.netloc,
        "basePath": url.path.rstrip("/") or "/",
        "consumes": ["application/json"],
        "securityDefinitions": {"key": {"type": "apiKey", "in": "header", "name": "Authorization"}},
        "security": [{"key": []}],
        "paths": {
            "/hooks/": {
                "x-ms-notification-content": {
                    "schema": swagger_schema([one.schema() for one in offered], "Event"),
                },
                "post": {
                    "operationId": "Subscribe",
                    "summary": "When an event happens",
                    "x-ms-trigger": "single",
                    "parameters": [{"name": "hook", "in": "body", "required": True, "schema": hook}],
                    "responses": {"201": {"description": "Subscribed. `Location` is the URL to delete."}},
                },
            },
            "/hooks/{id}/": {
                "delete": {
                    "operationId": "Unsubscribe",
                    "x-ms-visibility": "internal",
                    "parameters": [{"name": "id", "in": "path", "required": True, "type": "string"}],
                    "responses": {"204": {"description": "Unsubscribed."}},
                }
            },
        },
    }
