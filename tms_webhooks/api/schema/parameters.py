"""Parameters and headers of requests, beside those that filters make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tms_webhooks.api.idempotency import HEADER as IDEMPOTENCY_KEY
from tms_webhooks.api.pagination import CURSOR, PAGE_SIZE
from tms_webhooks.api.schema.shapes import EVENT_KEY, KEY, Schema
from tms_webhooks.conf import app_settings

LISTED: Schema = {"type": "array", "items": {"type": "string"}}


def parameter(name: str, place: str, schema: Schema, description: str, **more: Any) -> dict[str, Any]:
    """Return one parameter as a document has it."""
    return {
        "name": name,
        "in": place,
        "required": place == "path",
        "schema": schema,
        "description": description,
        **more,
    }


def in_path(basename: str) -> Mapping[str, dict[str, Any]]:
    """Return those that may stand in an address of this resource, by name."""
    key = EVENT_KEY if basename == "event" else KEY
    name = {"type": "string", "pattern": "^[A-Za-z0-9_.]{1,100}$"}
    return {
        "id": parameter("id", "path", key, "Its id."),
        "webhook_id": parameter("webhook_id", "path", KEY, "The webhook's id."),
        "name": parameter("name", "path", name, "An event type.", example="class.cancelled"),
    }


def page_size() -> dict[str, Any]:
    """Return the size of a page, with the limits of the settings."""
    schema = {
        "type": "integer",
        "minimum": 1,
        "maximum": app_settings.API_PAGE_LIMIT,
        "default": min(app_settings.API_PAGE_SIZE, app_settings.API_PAGE_LIMIT),
    }
    return parameter(PAGE_SIZE, "query", schema, "How many a page has at most.")


def of_pages() -> list[dict[str, Any]]:
    """Return those of every list."""
    cursor = parameter(
        CURSOR, "query", {"type": "string"}, "Where the page begins: take the address from `next` whole."
    )
    return [cursor, page_size()]


def of_feed() -> list[dict[str, Any]]:
    """Return those of the catch-up feed."""
    after = "The cursor of an earlier page. Without it the oldest come first; `latest` begins with what comes."
    types = "Names and patterns, as a subscription has them."
    return [
        parameter("after", "query", {"type": "string"}, after),
        parameter("type", "query", LISTED, types, explode=True, style="form"),
        parameter("undelivered_to", "query", KEY, "A webhook's id: only what it should have got and has not."),
        page_size(),
    ]


GROUP = parameter("group", "query", {"type": "string"}, "Only those of one noun, such as `class`.")
VERSION = parameter("version", "query", {"type": "integer", "minimum": 1}, "In an older version than the newest.")

KEY_OF_REQUEST = parameter(
    IDEMPOTENCY_KEY,
    "header",
    {"type": "string", "pattern": "^[\\x21-\\x7e]{1,255}$"},
    "Makes it safe to send the request again: it is done once, and answered alike for 24 hours.",
)
IF_MATCH = parameter(
    "If-Match", "header", {"type": "string"}, "The `ETag` of an answer: change only what is still as it was then."
)
