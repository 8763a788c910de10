"""The JSON Schemas of values and responses without a serializer: ids, problems, pages and results of actions.

Generators of clients make a class of each component, so objects are components with a name (`named`), and each value has
one type.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from tms_webhooks.api.problems import PROBLEM_TYPES, URN
from tms_webhooks.choices import (
    Action,
    ActorKind,
    CheckResult,
    DelayReason,
    DeliveryStatus,
    DisabledReason,
    ErrorClass,
    Health,
    HoldReason,
    Priority,
)
from tms_webhooks.models.organization import has_whole_number_key
from tms_webhooks.models.webhook_fields import INTEGRATIONS
from tms_webhooks.validators import DELAYS_LIMIT, LONGEST_DELAY, MOST_DAYS, NAMED_SCHEDULES, SLOWEST_RATE

Schema: TypeAlias = dict[str, Any]

COMPONENTS: dict[str, Schema] = {}
"""The schemas of this module by the names of their components."""


def reference(name: str) -> Schema:
    """Return a reference to a component: of `named`, or of a serializer by its class name without `Serializer`."""
    return {"$ref": f"#/components/schemas/{name}"}


def named(name: str, schema: Schema) -> Schema:
    """Make a schema a component of this name, and return a reference to it."""
    COMPONENTS[name] = schema
    return reference(name)


STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
ID: Schema = {"type": "string", "pattern": "^[a-z]{3}_([0-9a-f]{32}){1,2}$"}
ORGANIZATION_ID: Schema = {
    "type": "integer" if has_whole_number_key() else "string",
    "description": "The organization's id.",
}
EVENT_ID: Schema = {"type": "string", "pattern": "^evt_[0-9a-f]{32}$"}
DATE_TIME: Schema = {"type": "string", "format": "date-time"}
URI: Schema = {"type": "string", "format": "uri"}
SECRET: Schema = {"type": "string", "pattern": "^whsec_"}


def nullable(schema: Schema) -> Schema:
    """Return a schema that also allows null."""
    if "$ref" in schema:
        return {"oneOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def one_of(*values: str) -> Schema:
    """Return the schema of a closed list of strings."""
    return {"type": "string", "enum": list(values)}


def record(**properties: Schema) -> Schema:
    """Return the schema of an object in which all these properties are required."""
    return {"type": "object", "properties": properties, "required": list(properties)}


NUMBER = nullable({"type": "number"})

ERROR_CLASS = named("ErrorClass", one_of("", *ErrorClass.values))

ERROR_ITEM = named(
    "ErrorItem",
    {
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
    },
)

PROBLEM = named(
    "Problem",
    {
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
            "job": {**ID, "description": "For a conflict with an unfinished job: the id of this job."},
            "allow": {
                "type": "array",
                "items": STRING,
                "description": "For status 405: the methods that the URL supports.",
            },
        },
        "required": ["type", "title", "status", "detail"],
    },
)

NEW_SECRET = nullable(SECRET)
"""Null in the stored response that a repeated request gets."""

ROTATED_SECRET = named("RotatedSecret", record(secret=NEW_SECRET, old_secret_signs_until=DATE_TIME))

REVEALED_SECRET = named("RevealedSecret", record(secret=SECRET))

WEBHOOK_STATE = one_of("enabled", "held", "paused", "disabled")
HEALTH = named("Health", one_of(*Health.values))
PRIORITY = one_of(*(priority.name.lower() for priority in Priority))
PAYLOAD_STATE = one_of("kept", "pruned", "hidden", "failed")
BODY_STATE = one_of("kept", "pruned", "failed")

TIMING = named("Timing", record(dns=NUMBER, connect=NUMBER, tls=NUMBER, wait=NUMBER, read=NUMBER))

PAYLOAD = nullable(named("DeliveryPayload", record(content_type=STRING, body=STRING)))

ACTOR = named("AuditActor", record(kind=one_of(*ActorKind.values), id=STRING, label=STRING))

ATTEMPT_STATS = named(
    "AttemptStats",
    record(
        starts_at=DATE_TIME,
        attempts=INTEGER,
        delivered=INTEGER,
        retried=INTEGER,
        given_up=INTEGER,
        success_rate=NUMBER,
        p50_ms=nullable(INTEGER),
        p95_ms=nullable(INTEGER),
    ),
)

LAG_STATS = named(
    "LagStats",
    {
        **record(
            starts_at=DATE_TIME,
            deliveries=INTEGER,
            p50={**NUMBER, "description": "Seconds that half of the deliveries did not exceed."},
            p95={**NUMBER, "description": "Seconds that 95 percent of the deliveries did not exceed."},
        ),
        "description": "The seconds from an event to its first attempt, without the webhook's own delay.",
    },
)

STATS = named(
    "WebhookStats",
    record(
        state=WEBHOOK_STATE,
        health=HEALTH,
        failures=INTEGER,
        backlog=INTEGER,
        due_seconds=NUMBER,
        day=ATTEMPT_STATS,
        month=ATTEMPT_STATS,
        lag=LAG_STATS,
        as_of=DATE_TIME,
    ),
)

CHECK = named(
    "Check",
    record(
        name=STRING,
        verdict=one_of(*CheckResult.values),
        detail=STRING,
        subscription={
            **nullable(ID),
            "description": "The subscription that the check belongs to. Null for a check of the webhook.",
        },
    ),
)

_EXPLANATION: Schema = {
    "verdict": {
        **one_of(*CheckResult.values),
        "description": "`held`: the event would be kept as a skipped delivery, and not sent.",
    },
    "summary": STRING,
    "checks": {"type": "array", "items": CHECK},
}

EXPLANATION = named(
    "Explanation",
    {
        **record(**_EXPLANATION),
        "description": "Whether the webhook receives the event by its current settings, and why.",
    },
)

EXPLAINED_DELIVERY = named("ExplainedDelivery", record(id=ID, status=one_of(*DeliveryStatus.values)))

EXPLAINED_EVENT = named(
    "ExplainedEvent",
    record(
        event={**nullable(EVENT_ID), "description": "Null for an event that has not happened."},
        event_type=STRING,
        delivery={
            **nullable(EXPLAINED_DELIVERY),
            "description": "The delivery of the event to the webhook, if it has one.",
        },
        **_EXPLANATION,
    ),
)

DRY_RUN_MISS = named(
    "DryRunMiss",
    record(
        name=STRING,
        detail=STRING,
        events=INTEGER,
        position={
            **nullable(INTEGER),
            "description": "The index of the subscription that the check belongs to. Null for a check of the webhook.",
        },
        subscription={**nullable(ID), "description": "The id of that subscription, if it is stored."},
    ),
)

DRY_RUN_REPORT = named(
    "DryRunReport",
    record(
        examined=INTEGER,
        matched=INTEGER,
        complete={
            "type": "boolean",
            "description": "False if the time limit was reached before all of the latest events were examined.",
        },
        types={
            "type": "array",
            "items": named("DryRunType", record(event_type=STRING, examined=INTEGER, matched=INTEGER)),
        },
        misses={
            "type": "array",
            "description": "The failed checks of the events that match no subscription, the most frequent first.",
            "items": DRY_RUN_MISS,
        },
        events={"type": "array", "items": EVENT_ID, "description": "The events that match, the latest first."},
    ),
)

TEST_SEND_RESULT = named(
    "TestSendResult",
    record(
        success={"type": "boolean"},
        status_code=nullable(INTEGER),
        error_class=ERROR_CLASS,
        message=STRING,
        started_at=DATE_TIME,
        duration_ms=NUMBER,
        timing_ms=TIMING,
        delivery=ID,
        event=EVENT_ID,
        event_type=STRING,
        request=named(
            "TestRequest",
            record(method=STRING, headers={"type": "object", "additionalProperties": STRING}, body=nullable(STRING)),
        ),
        response_body=nullable(STRING),
        healed={"type": "boolean"},
        explanation={
            **nullable(EXPLANATION),
            "description": (
                "Whether the webhook would receive the event if it were real. Null for `webhook.test`, and for a `subject` "
                "whose payload the caller may not see."
            ),
        },
    ),
)

REQUEST_PREVIEW = named(
    "RequestPreview",
    record(
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
    ),
)

EVENT_TYPE = named(
    "EventType",
    record(
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
    ),
)

JOB_DELIVERIES = {
    **nullable(
        named(
            "JobDeliveries",
            record(delivered=INTEGER, failed=INTEGER, skipped=INTEGER, cancelled=INTEGER, waiting=INTEGER),
        )
    ),
    "description": (
        "The deliveries that the job created or reopened; each number is counted up to 100,000. Skipped ones were not sent, "
        "because the webhook was disabled. Null in a list, and for jobs of the kinds cancel_pending and send_now."
    ),
}

SCHEDULE = named(
    "Schedule",
    {
        "oneOf": [
            one_of("", *NAMED_SCHEDULES),
            {
                "type": "array",
                "items": {"type": "number", "minimum": 0, "maximum": LONGEST_DELAY},
                "maxItems": DELAYS_LIMIT,
            },
        ]
    },
)

ORGANIZATION_RIGHTS = named(
    "OrganizationRights",
    record(
        id=ORGANIZATION_ID,
        name=STRING,
        actions={
            "type": "array",
            "items": named("PolicyAction", one_of(*Action.values)),
            "description": "The actions that the caller may do in the organization.",
        },
        webhooks={**INTEGER, "description": "The number of the organization's webhooks."},
        unfinished_jobs=INTEGER,
    ),
)

LIMITS = named(
    "Limits",
    record(
        webhooks={**INTEGER, "description": "Per organization."},
        unfinished_jobs={**INTEGER, "description": "Per organization."},
        test_sends_per_minute={**INTEGER, "description": "Per organization."},
        subscriptions_of_webhook=INTEGER,
        headers_of_webhook=INTEGER,
        contacts_of_webhook=INTEGER,
        in_flight_of_webhook=INTEGER,
        recover_days={**INTEGER, "description": "The longest time range of a recovery."},
        page_size={**INTEGER, "description": "The largest `page_size` of a list."},
        body_bytes={**INTEGER, "description": "The largest body of a request to the API."},
    ),
)

FREE_OBJECT: Schema = {"type": "object", "additionalProperties": {}}

FIELD_SCHEMAS: dict[str, Schema] = {
    "filters": FREE_OBJECT,
    "condition": nullable(FREE_OBJECT),
    "contents": {"type": "object", "additionalProperties": {"type": "string"}},
    "changes": FREE_OBJECT,
    "nouns": {"type": "array", "items": STRING},
    "schedule": {"allOf": [SCHEDULE]},
    "error_class": {"allOf": [ERROR_CLASS]},
    "delay_reason": {"allOf": [named("DelayReason", one_of("", *DelayReason.values))]},
    "disabled_reason": {"allOf": [named("DisabledReason", one_of("", *DisabledReason.values))]},
    "integration_kind": {"allOf": [named("IntegrationKind", one_of("", *INTEGRATIONS))]},
    "hold_reason": {"allOf": [named("HoldReason", one_of("", *HoldReason.values))]},
}
"""The schemas of fields that drf-spectacular can't derive, by the name of the field: of JSON, and of choices that may be
empty."""

FIELD_LIMITS: dict[str, Schema] = {
    "more_than_days": {"minimum": 0, "maximum": MOST_DAYS},
    "less_than_days": {"exclusiveMinimum": 0, "maximum": MOST_DAYS},
    "rate_limit_per_second": {"minimum": SLOWEST_RATE},
}
"""The limits of numbers that a model checks together with other fields, by the name of the field."""

JSON_SCHEMA: Schema = {**FREE_OBJECT, "description": "A JSON Schema, draft 2020-12."}

EXAMPLE_EVENT: Schema = {**FREE_OBJECT, "description": "A complete event that is valid by the schema."}

CREATED_WEBHOOK = named("CreatedWebhook", {"allOf": [reference("Webhook"), record(secret=NEW_SECRET)]})


def page_of(items: Schema) -> Schema:
    """Return the schema of a page of a list."""
    return record(next=nullable(URI), previous=nullable(URI), results=items)


def me_of(items: Schema) -> Schema:
    """Return the schema of a page of the caller's organizations."""
    return named("Me", record(caller=ACTOR, limits=LIMITS, next=nullable(URI), previous=nullable(URI), results=items))


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
