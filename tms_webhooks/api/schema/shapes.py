"""The JSON Schemas of values and responses without a serializer: ids, problems, pages and results of actions."""

from __future__ import annotations

from typing import Any, TypeAlias

from tms_webhooks.api.problems import PROBLEM_TYPES, URN
from tms_webhooks.choices import CheckResult, ErrorClass

Schema: TypeAlias = dict[str, Any]

STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
ID: Schema = {"type": "string", "pattern": "^[a-z]{3}_([0-9a-f]{32}){1,2}$"}
ORGANIZATION_ID: Schema = {"type": ["integer", "string"], "description": "The organization's id."}
EVENT_ID: Schema = {"type": "string", "pattern": "^evt_[0-9a-f]{32}$"}
DATE_TIME: Schema = {"type": "string", "format": "date-time"}
URI: Schema = {"type": "string", "format": "uri"}
SECRET: Schema = {"type": "string", "pattern": "^whsec_"}


def nullable(schema: Schema) -> Schema:
    """Return a schema that also allows null."""
    return {**schema, "type": [schema["type"], "null"]}


def record(**properties: Schema) -> Schema:
    """Return the schema of an object in which all these properties are required."""
    return {"type": "object", "properties": properties, "required": list(properties)}


def reference(name: str) -> Schema:
    """Return a reference to the component of a serializer, by its class name without `Serializer`."""
    return {"$ref": f"#/components/schemas/{name}"}


NUMBER = nullable({"type": "number"})

ERROR_ITEM: Schema = {
    "type": "object",
    "description": "One error in the request, and its place.",
    "properties": {
        "pointer": {**STRING, "description": "A JSON pointer into the body."},
        "parameter": {**STRING, "description": "The name of a query parameter."},
        "header": {**STRING, "description": "The name of a header."},
        "code": {**STRING, "description": "The kind of error, for programs."},
        "detail": {**STRING, "description": "The error, and how to correct it."},
    },
    "required": ["code", "detail"],
}

PROBLEM: Schema = {
    "type": "object",
    "description": "A problem with the request, as in RFC 9457.",
    "properties": {
        "type": {
            "type": "string",
            "format": "uri",
            "description": "The type of problem, a stable identifier.",
            "examples": [URN + name for name in PROBLEM_TYPES],
        },
        "title": STRING,
        "status": INTEGER,
        "detail": STRING,
        "errors": {"type": "array", "items": ERROR_ITEM},
    },
    "required": ["type", "title", "status", "detail"],
}

COUNT = record(dry_run={"const": True}, total={**INTEGER, "minimum": 0})

NEW_SECRET = nullable(SECRET)
"""Null in the stored response that a repeated request gets."""

ROTATED_SECRET = record(secret=NEW_SECRET, old_secret_signs_until=DATE_TIME)

REVEALED_SECRET = record(secret=SECRET)

ATTEMPT_STATS = record(
    starts_at=DATE_TIME,
    attempts=INTEGER,
    delivered=INTEGER,
    retried=INTEGER,
    given_up=INTEGER,
    success_rate=NUMBER,
    p50_ms=nullable(INTEGER),
    p95_ms=nullable(INTEGER),
)

STATS = record(
    state={"type": "string", "enum": ["enabled", "held", "paused", "disabled"]},
    failures=INTEGER,
    backlog=INTEGER,
    due_seconds=NUMBER,
    day=ATTEMPT_STATS,
    month=ATTEMPT_STATS,
    lag=record(starts_at=DATE_TIME, deliveries=INTEGER, p50=NUMBER, p95=NUMBER),
    as_of=DATE_TIME,
)

CHECK = record(
    name=STRING,
    verdict={"type": "string", "enum": CheckResult.values},
    detail=STRING,
    subscription={**nullable(ID), "description": "The subscription that the check is of. Null for one of the webhook."},
)

EXPLANATION = {
    **record(
        verdict={
            "type": "string",
            "enum": CheckResult.values,
            "description": "`held`: the event would be kept as a skipped delivery, and not sent.",
        },
        summary=STRING,
        checks={"type": "array", "items": CHECK},
    ),
    "description": "Whether the webhook receives the event by its present settings, and why.",
}

TEST_SEND_RESULT = record(
    success={"type": "boolean"},
    status_code=nullable(INTEGER),
    error_class={"type": "string", "enum": ["", *ErrorClass.values]},
    message=STRING,
    started_at=DATE_TIME,
    duration_ms=NUMBER,
    timing_ms=record(dns=NUMBER, connect=NUMBER, tls=NUMBER, wait=NUMBER, read=NUMBER),
    delivery=ID,
    event=EVENT_ID,
    event_type=STRING,
    request=record(method=STRING, headers={"type": "object", "additionalProperties": STRING}, body=nullable(STRING)),
    response_body=nullable(STRING),
    healed={"type": "boolean"},
    explanation={**nullable(EXPLANATION), "description": "Of the event if it were real. Null for `webhook.test`."},
)

REQUEST_PREVIEW = record(
    event_type=STRING,
    method=STRING,
    url={**STRING, "description": "With its tokens filled in. Empty for a pull-only webhook."},
    headers={
        "type": "object",
        "additionalProperties": STRING,
        "description": "The signature and the values of the webhook's own headers are masked.",
    },
    body={**nullable(STRING), "description": "Null if the request can't be built."},
    empty_tokens={
        "type": "array",
        "items": STRING,
        "description": "The tokens of the URL and of custom content that have no value in this event.",
    },
    problem={**STRING, "description": "Why the request can't be built; empty otherwise."},
)

EVENT_TYPE = record(
    name=STRING,
    group=STRING,
    title=STRING,
    summary=STRING,
    version=INTEGER,
    versions={"type": "array", "items": INTEGER},
    deprecated={"type": "boolean"},
    offered={
        "type": "boolean",
        "description": "Whether a webhook can subscribe to it. False for events that are made for one webhook.",
    },
    schema=URI,
    example=URI,
)

SNAPSHOT_DELIVERIES = {
    **nullable(record(delivered=INTEGER, failed=INTEGER, waiting=INTEGER)),
    "description": "The deliveries of a snapshot. Null for other jobs, and in a list.",
}

JSON_FIELD_SCHEMAS: dict[str, Schema] = {
    "filters": {"type": "object"},
    "condition": {"type": ["object", "null"]},
    "changes": {"type": "object"},
    "nouns": {"type": "array", "items": {"type": "string"}},
}
"""The schemas of JSON fields, by the name of the field."""

JSON_SCHEMA: Schema = {"type": "object", "description": "A JSON Schema, draft 2020-12."}

EXAMPLE_EVENT: Schema = {"type": "object", "description": "A complete event that is valid by the schema."}

CREATED_WEBHOOK: Schema = {"allOf": [reference("Webhook"), record(secret=NEW_SECRET)]}

STARTED_JOBS = record(jobs={"type": "array", "items": reference("Job")}, total=INTEGER)


def page_of(items: Schema) -> Schema:
    """Return the schema of a page of a list."""
    return record(next=nullable(URI), previous=nullable(URI), results=items)


def feed_of(items: Schema) -> Schema:
    """Return the schema of a page of the catch-up feed."""
    return record(
        results=items,
        cursor={
            **STRING,
            "description": "The value of `after` for the next request. Each page has a cursor, also the last one.",
        },
        has_more={"type": "boolean"},
    )
