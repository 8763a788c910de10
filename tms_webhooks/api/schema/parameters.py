"""Parameters and headers that are neither filters nor part of a page."""

from __future__ import annotations

from typing import Any

from tms_webhooks.api.idempotency import HEADER as IDEMPOTENCY_KEY
from tms_webhooks.api.schema.shapes import ADDRESS, KEY, TEXT, Schema
from tms_webhooks.api.schema.shim import OpenApiParameter


def parameter(name: str, schema: Schema, description: str, *, location: str = "query", **more: Any) -> OpenApiParameter:
    """Return one parameter of a request, or with ``response`` one header of a response."""
    return OpenApiParameter(name=name, type=schema, location=location, description=description, **more)


EVENT_TYPE = parameter(
    "name",
    {"type": "string", "pattern": "^[A-Za-z0-9_.]{1,100}$", "examples": ["class.cancelled"]},
    "An event type.",
    location="path",
)
GROUP = parameter("group", TEXT, "Only the event types of this noun, such as `class`.")
VERSION = parameter(
    "version", {"type": "integer", "minimum": 1}, "The version of the event type; by default the newest."
)
TYPES = parameter(
    "type",
    {"type": "array", "items": TEXT},
    "Event names and patterns, as in a subscription.",
    explode=True,
    style="form",
)
UNDELIVERED_TO = parameter(
    "undelivered_to", KEY, "A webhook's id: only the events that it should have received and has not."
)

KEY_OF_REQUEST = parameter(
    IDEMPOTENCY_KEY,
    {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"},
    "Makes a retry safe: for 24 hours, the same request with the same key returns the first response and does nothing.",
    location="header",
)
IF_MATCH = parameter(
    "If-Match",
    TEXT,
    "The `ETag` of a response: the change is made only if the webhook has not changed since.",
    location="header",
)

ETAG = parameter("ETag", TEXT, "The state of the webhook, for `If-Match`.", location="header", response=True)
LOCATION = parameter("Location", ADDRESS, "The address of the new object.", location="header", response=[201, 202])
