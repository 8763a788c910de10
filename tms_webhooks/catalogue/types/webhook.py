"""Operational events: what this app tells of its own webhooks."""

from __future__ import annotations

from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.catalogue.schema import Field, FieldKind, Noun
from tms_webhooks.choices import FieldPrivacy

WEBHOOK = Noun(
    "webhook",
    "Webhook",
    (
        Field("id", FieldKind.ID, FieldPrivacy.ID, required=True, doc="Id of the webhook."),
        # Not the URL: integrators put credentials into it.
        Field("name", FieldKind.STRING, FieldPrivacy.BASIC, doc="Name of the webhook."),
    ),
)

EVENT_TYPES = (
    EventType(
        "webhook.test",
        WEBHOOK,
        "Somebody sent a test to see whether a webhook is received.",
        sample={
            "id": "0f8b6c1e-3c52-4a7e-9a55-0c9f5a1d2b34",
            "name": "HR system",
            "message": "This is a test: nothing happened.",
        },
        extra=(
            Field("message", FieldKind.STRING, FieldPrivacy.BASIC, doc="A sentence that says that this is a test."),
        ),
    ),
)
