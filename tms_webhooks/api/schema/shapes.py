"""The JSON Schemas of responses that no serializer makes: problems, pages, and the results of a few actions."""

from __future__ import annotations

from typing import Any, TypeAlias

from tms_webhooks.api.problems import KINDS, URN
from tms_webhooks.choices import ErrorClass

Schema: TypeAlias = dict[str, Any]

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
KEY: Schema = {"type": "string", "pattern": "^[0-9]{1,18}$"}
ORGANIZATION_KEY: Schema = {"type": ["integer", "string"], "description": "The organization's id."}
EVENT_KEY: Schema = {"type": "string", "pattern": "^evt_[0-9a-f]{32}$"}
MOMENT: Schema = {"type": "string", "format": "date-time"}
ADDRESS: Schema = {"type": "string", "format": "uri"}
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

FAULT: Schema = {
    "type": "object",
    "description": "One mistake in the request, and its place.",
    "properties": {
        "pointer": {**TEXT, "description": "A JSON pointer into the body."},
        "parameter": {**TEXT, "description": "The name of a query parameter."},
        "header": {**TEXT, "description": "The name of a header."},
        "code": {**TEXT, "description": "The kind of mistake, for programs."},
        "detail": {**TEXT, "description": "The mistake, and how to correct it."},
    },
    "required": ["code", "detail"],
}

PROBLEM: Schema = {
    "type": "object",
    "description": "The problem with the request, in the form of RFC 9457.",
    "properties": {
        "type": {
            "type": "string",
            "format": "uri",
            "description": "The kind of problem, a stable identifier.",
            "examples": [URN + name for name in KINDS],
        },
        "title": TEXT,
        "status": WHOLE,
        "detail": TEXT,
        "errors": {"type": "array", "items": FAULT},
    },
    "required": ["type", "title", "status", "detail"],
}

COUNT = record(dry_run={"const": True}, total={**WHOLE, "minimum": 0})

ROTATION = record(secret=SECRET, old_secret_signs_until=MOMENT)

REVELATION = record(secret=SECRET)

ATTEMPT_STATS = record(
    starts_at=MOMENT,
    attempts=WHOLE,
    delivered=WHOLE,
    retried=WHOLE,
    given_up=WHOLE,
    success_rate=NUMBER,
    p50_ms=nullable(WHOLE),
    p95_ms=nullable(WHOLE),
)

STATS = record(
    state={"type": "string", "enum": ["enabled", "paused", "disabled"]},
    failures=WHOLE,
    backlog=WHOLE,
    due_seconds=NUMBER,
    day=ATTEMPT_STATS,
    month=ATTEMPT_STATS,
    lag=record(starts_at=MOMENT, deliveries=WHOLE, p50=NUMBER, p95=NUMBER),
    as_of=MOMENT,
)

TRIAL = record(
    success={"type": "boolean"},
    status_code=nullable(WHOLE),
    error_class={"type": "string", "enum": ["", *ErrorClass.values]},
    message=TEXT,
    started_at=MOMENT,
    duration_ms=NUMBER,
    timing_ms=record(dns=NUMBER, connect=NUMBER, tls=NUMBER, wait=NUMBER, read=NUMBER),
    delivery=KEY,
    event=EVENT_KEY,
    event_type=TEXT,
    request=record(method=TEXT, headers={"type": "object", "additionalProperties": TEXT}, body=nullable(TEXT)),
    response_body=nullable(TEXT),
    healed={"type": "boolean"},
)

EVENT_TYPE = record(
    name=TEXT,
    group=TEXT,
    title=TEXT,
    summary=TEXT,
    version=WHOLE,
    versions={"type": "array", "items": WHOLE},
    deprecated={"type": "boolean"},
    schema=ADDRESS,
    example=ADDRESS,
)

OF_JSON_FIELDS: dict[str, Schema] = {
    "filters": {"type": "object"},
    "condition": {"type": ["object", "null"]},
    "changes": {"type": "object"},
}
"""The schemas of fields that hold JSON, by the name of the field."""

JSON_SCHEMA: Schema = {"type": "object", "description": "A JSON Schema, draft 2020-12."}

SAMPLE: Schema = {"type": "object", "description": "A complete event that is valid by the schema."}

CREATED_WEBHOOK: Schema = {"allOf": [reference("Webhook"), REVELATION]}

JOBS = record(jobs={"type": "array", "items": reference("Job")}, total=WHOLE)


def page_of(items: Schema) -> Schema:
    """Return the schema of a page of a list."""
    return record(next=nullable(ADDRESS), previous=nullable(ADDRESS), results=items)


def feed_of(items: Schema) -> Schema:
    """Return the schema of a page of the catch-up feed."""
    return record(
        results=items,
        cursor={
            **TEXT,
            "description": "The value of `after` for the next request, even when there are no more events yet.",
        },
        has_more={"type": "boolean"},
    )
