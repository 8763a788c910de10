"""Events of a learner's subscription to a library of courses. (Not of a webhook's subscription to event types.)"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.catalogue.schema import Field, FieldKind, Noun
from tms_webhooks.catalogue.types import references
from tms_webhooks.choices import ActorKind, FieldPrivacy

SUBSCRIPTION = Noun(
    "subscription",
    "Subscription",
    (
        *references.identity("the subscription"),
        Field("name", FieldKind.STRING, FieldPrivacy.BASIC, doc="Name of the subscription's profile."),
        Field("profile.id", FieldKind.ID, FieldPrivacy.ID, doc="Id of the profile that it was made from."),
        Field("start_at", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="When access starts."),
        Field("expires_at", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="When access ends; null if it never does."),
        Field(
            "target_completion_at",
            FieldKind.DATETIME,
            FieldPrivacy.BASIC,
            doc="When the learner should be done; it controls no access.",
        ),
        Field("cancelled_at", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="When it was cancelled; null if it was not."),
        *references.learner(),
        *references.organization("the learner's organization"),
        *references.record_times(),
    ),
)

_SAMPLE: Mapping[str, Any] = {
    "id": 640,
    "external_id": "SUB-640",
    "name": "Azure Library",
    "profile": {"id": 18},
    "start_at": "2026-11-24T00:00:00.000Z",
    "expires_at": "2027-11-24T00:00:00.000Z",
    "target_completion_at": None,
    "cancelled_at": None,
    "user": references.SAMPLE_LEARNER,
    "organization": references.SAMPLE_ORGANIZATION,
    "created_at": "2026-11-24T15:04:05.123Z",
    "updated_at": "2026-11-24T15:04:05.123Z",
}

_OLD: Mapping[str, Any] = {
    **_SAMPLE,
    "start_at": "2025-12-22T03:04:05.000Z",
    "created_at": "2025-12-22T03:04:05.123Z",
    "updated_at": "2025-12-22T03:04:05.123Z",
}

EVENT_TYPES = (
    EventType("subscription.created", SUBSCRIPTION, "A learner got a subscription.", sample=_SAMPLE),
    EventType(
        "subscription.expiring",
        SUBSCRIPTION,
        "A learner's subscription entered a window of days before its expiration.",
        sample={**_OLD, "expires_at": references.SAMPLE_EXPIRES_AT},
        sample_details=references.SAMPLE_WINDOW,
        details=references.window(),
        needs=("expires_at",),
        sample_actor=ActorKind.SYSTEM,
    ),
    EventType(
        "subscription.expired",
        SUBSCRIPTION,
        "A learner's subscription expired.",
        sample={**_OLD, "expires_at": "2026-11-24T15:00:00.000Z"},
        needs=("expires_at",),
        sample_actor=ActorKind.SYSTEM,
    ),
    EventType(
        "subscription.cancelled",
        SUBSCRIPTION,
        "A learner's subscription was cancelled.",
        sample={**_SAMPLE, "created_at": "2026-11-24T09:20:00.000Z", "cancelled_at": "2026-11-24T15:04:05.000Z"},
        sample_previous={"cancelled_at": None},
    ),
    EventType(
        "subscription.updated",
        SUBSCRIPTION,
        "A learner's subscription changed in something other than its status, such as its dates.",
        sample=_SAMPLE,
        sample_previous={"expires_at": "2027-05-24T00:00:00.000Z"},
    ),
    EventType(
        "subscription.reopened",
        SUBSCRIPTION,
        "The cancellation or expiry of a learner's subscription was undone: the learner has time left.",
        sample={**_SAMPLE, "created_at": "2026-11-24T09:20:00.000Z"},
        sample_previous={"cancelled_at": "2026-11-24T11:30:00.000Z"},
    ),
    EventType(
        "subscription.deleted",
        SUBSCRIPTION,
        "A learner's subscription was deleted; the data is its last state.",
        sample={**_SAMPLE, "created_at": "2026-11-24T09:20:00.000Z"},
    ),
)
