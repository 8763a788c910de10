"""Events of a learner's achievements. Their subject is the award of one achievement to one learner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.catalogue.schema import Field, FieldKind, Noun
from tms_webhooks.catalogue.types import references
from tms_webhooks.choices import ActorKind, FieldPrivacy

ACHIEVEMENT = Noun(
    "achievement",
    "Achievement",
    (
        *references.identity("the award"),
        *references.reference("achievement", "the achievement", required=True),
        Field("points", FieldKind.INTEGER, FieldPrivacy.BASIC, doc="Points that the award counts for."),
        Field(
            "earned_at",
            FieldKind.DATETIME,
            FieldPrivacy.BASIC,
            doc="When the learner earned it. A learner may earn an achievement more than once.",
        ),
        *references.learner(),
        *references.organization("the learner's organization"),
    ),
)

_SAMPLE: Mapping[str, Any] = {
    "id": 31007,
    "external_id": None,
    "achievement": {"id": 210, "external_id": "ACH-LABS-10", "name": "Ten labs"},
    "points": 250,
    "earned_at": "2026-11-24T15:04:05.000Z",
    "user": references.SAMPLE_LEARNER,
    "organization": references.SAMPLE_ORGANIZATION,
}

EVENT_TYPES = (
    EventType(
        "achievement.received",
        ACHIEVEMENT,
        "A learner earned an achievement.",
        sample=_SAMPLE,
        sample_actor=ActorKind.USER,
    ),
    EventType(
        "achievement.updated",
        ACHIEVEMENT,
        "An award changed, such as the points that it counts for.",
        sample=_SAMPLE,
        sample_previous={"points": 200},
    ),
    EventType(
        "achievement.revoked",
        ACHIEVEMENT,
        "An achievement was revoked; the data is the award's last state.",
        sample={**_SAMPLE, "earned_at": "2026-10-30T12:00:00.000Z"},
    ),
)
