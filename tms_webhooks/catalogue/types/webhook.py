"""Operational events: events about the webhooks themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tms_webhooks import event_names
from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.catalogue.schema import Field, FieldKind, Noun
from tms_webhooks.choices import ActorKind, FieldPrivacy

WEBHOOK = Noun(
    "webhook",
    "Webhook",
    (
        Field("id", FieldKind.ID, FieldPrivacy.ID, required=True, doc="Id of the webhook."),
        # Not the URL: integrators put credentials into it.
        Field("name", FieldKind.STRING, FieldPrivacy.BASIC, doc="Name of the webhook."),
    ),
)

_SAMPLE: Mapping[str, Any] = {"id": "whk_3f0c1a5e9b7d4c2f8e6a0b1c2d3e4f50", "name": "HR system"}


def _text(name: str, doc: str) -> Field:
    return Field(name, FieldKind.STRING, FieldPrivacy.BASIC, required=True, doc=doc)


def _number(name: str, doc: str) -> Field:
    return Field(name, FieldKind.INTEGER, FieldPrivacy.BASIC, required=True, doc=doc)


EVENT_TYPES = (
    EventType(
        "webhook.test",
        WEBHOOK,
        "A user sent a test to check that a webhook is received.",
        sample=_SAMPLE,
        sample_details={"message": "This is a test: nothing happened."},
        details=(Field("message", FieldKind.STRING, FieldPrivacy.BASIC, doc="A sentence that says this is a test."),),
        offered=False,
    ),
    EventType(
        "webhook.failing",
        WEBHOOK,
        "A webhook fails repeatedly, and will be disabled if it continues to fail.",
        sample=_SAMPLE,
        sample_details={"percent": 50, "failures": 9, "first_failed_at": "2026-11-22T03:04:05.123Z"},
        details=(
            Field(
                "percent",
                FieldKind.INTEGER,
                FieldPrivacy.BASIC,
                required=True,
                doc="Progress toward being disabled, in percent.",
            ),
            Field("failures", FieldKind.INTEGER, FieldPrivacy.BASIC, doc="Failed attempts since the last success."),
            Field(
                "first_failed_at", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="Time of the first of these attempts."
            ),
        ),
        sample_actor=ActorKind.SYSTEM,
    ),
    EventType(
        "webhook.disabled",
        WEBHOOK,
        "A webhook was disabled. Its events are kept and can be replayed.",
        sample=_SAMPLE,
        sample_details={"reason": "failing"},
        details=(_text("reason", "Reason: gone, failing, receiver_requested, admin, expired or blocked_target."),),
        sample_actor=ActorKind.SYSTEM,
    ),
    EventType(
        "webhook.recovered",
        WEBHOOK,
        "A webhook that had been paused or disabled works again.",
        sample=_SAMPLE,
        sample_actor=ActorKind.SYSTEM,
    ),
    EventType(
        "webhook.exhausted",
        WEBHOOK,
        "An event could not be delivered to a webhook and was given up.",
        sample=_SAMPLE,
        sample_details={
            "event_id": "evt_89abcdef0123456789abcdef01234567",
            "event_type": "class.cancelled",
            "message": "HTTP 500 Internal Server Error",
        },
        details=(
            Field("event_id", FieldKind.ID, FieldPrivacy.ID, required=True, doc="Id of the event."),
            _text("event_type", "Type of the event."),
            Field("message", FieldKind.STRING, FieldPrivacy.BASIC, doc="Result of the last attempt."),
        ),
        sample_actor=ActorKind.SYSTEM,
    ),
    EventType(
        event_names.SNAPSHOT_COMPLETED,
        WEBHOOK,
        "A snapshot was sent. Changes since its start are in the feed after `cursor`. Only the webhook itself gets this.",
        sample=_SAMPLE,
        sample_details={
            "job_id": "job_7a1e4c0b2d9f4e638c5a6b7d8e9f0a1b",
            "nouns": "class,enrollment",
            "objects": 1480,
            "failed": 0,
            "cursor": "gAAAAABnYmVnaW4tYXQtdGhlLXN0YXJ0LW9mLXRoZS1zbmFwc2hvdA",
        },
        details=(
            Field("job_id", FieldKind.ID, FieldPrivacy.ID, required=True, doc="Id of the snapshot's job."),
            _text("nouns", "Nouns of the objects that were sent, separated by commas."),
            _number("objects", "How many objects the snapshot has."),
            _number("failed", "How many of them did not arrive."),
            _text("cursor", "Cursor of the catch-up feed at the start of the snapshot: nothing is missing after it."),
        ),
        sample_actor=ActorKind.SYSTEM,
        offered=False,
    ),
    EventType(
        "webhook.secret_rotated",
        WEBHOOK,
        "A webhook got a new secret; for some time, requests are signed with both the old and the new one.",
        sample=_SAMPLE,
    ),
)
