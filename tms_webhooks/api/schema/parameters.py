"""The parameters and headers of the OpenAPI document, except those of filters and pages."""

from __future__ import annotations

from typing import Any

from tms_webhooks.api import idempotency
from tms_webhooks.api.schema.shapes import EVENT_ID, ID, STRING, URI, Schema
from tms_webhooks.api.schema.shim import OpenApiParameter


def parameter(name: str, schema: Schema, description: str, *, location: str = "query", **more: Any) -> OpenApiParameter:
    """Return a parameter of a request, or with ``response`` a header of a response."""
    return OpenApiParameter(name=name, type=schema, location=location, description=description, **more)


EVENT_TYPE = parameter(
    "name",
    {"type": "string", "pattern": "^[A-Za-z0-9_.]{1,100}$", "examples": ["class.cancelled"]},
    "An event type.",
    location="path",
)
GROUP = parameter("group", STRING, "Only the event types of this group, such as `class`.")
VERSION = parameter(
    "version", {"type": "integer", "minimum": 1}, "The version of the event type; by default the newest."
)
TYPES = parameter(
    "type",
    {"type": "array", "items": STRING},
    "Event names and patterns, as in a subscription.",
    explode=True,
    style="form",
)
UNDELIVERED_TO = parameter(
    "undelivered_to", ID, "The id of a webhook. Only events that it should have received and has not."
)
SUBJECT = parameter(
    "subject", {**STRING, "examples": ["class:8840"]}, "Only events of this object: its noun, a colon and its id."
)
EXTERNAL_ID = parameter("external_id", STRING, "Only events of objects with this id in the customer's own system.")

EXPLAINED_EVENT = parameter("event", EVENT_ID, "The event to explain.")
EXPLAINED_TYPE = parameter(
    "event_type",
    {**STRING, "examples": ["class.cancelled"]},
    "Instead of `event`: the type of an event that has not happened. Without `subject`, it is the sample of the type.",
)
EXPLAINED_SUBJECT = parameter(
    "subject", {**STRING, "examples": ["class:8840"]}, "The object that the event of this type would be about."
)

IDEMPOTENCY_KEY_HEADER = parameter(
    idempotency.HEADER,
    {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"},
    "Makes a retry safe: for 24 hours, the same request with the same key only returns the first response again.",
    location="header",
)
IF_MATCH = parameter(
    "If-Match",
    STRING,
    "The `ETag` of an earlier response. The request fails with 412 if the webhook has changed since.",
    location="header",
)

ETAG = parameter("ETag", STRING, "The state of the webhook, for `If-Match`.", location="header", response=True)
LOCATION = parameter("Location", URI, "The URL of the new object.", location="header", response=[201, 202])
