"""Events of a learner on a learning path: an ordered selection of a subscription's courses."""

from __future__ import annotations

from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.catalogue.schema import Field, FieldKind, Noun
from tms_webhooks.catalogue.types import references
from tms_webhooks.choices import ActorKind, FieldPrivacy

LEARNING_PATH = Noun(
    "learning_path",
    "Learning path",
    (
        references.identity("the completion; of a computed one, the ids of the path and the learner: 44:5012")[0],
        *references.reference("learning_path", "the learning path", required=True),
        *references.learner(),
        Field("completed_at", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="When the last course was completed."),
        Field("course_count", FieldKind.INTEGER, FieldPrivacy.BASIC, doc="How many courses the path has."),
        Field(
            "courses",
            FieldKind.OBJECTS,
            FieldPrivacy.BASIC,
            items=(
                Field("id", FieldKind.ID, FieldPrivacy.ID, required=True, doc="Id of the course."),
                references.external_id("external_id", "the course"),
                Field("name", FieldKind.STRING, FieldPrivacy.BASIC, doc="Name of the course."),
                Field("completed_at", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="When the learner completed it."),
            ),
            doc="The courses of the path, in its order.",
        ),
        *references.reference("subscription", "the subscription that gave access to the path"),
        *references.organization("the learner's organization"),
    ),
    # A completion stays with the organization that the learner had then.
    moves=False,
)

EVENT_TYPES = (
    EventType(
        "learning_path.completed",
        LEARNING_PATH,
        "A learner completed every course of a learning path.",
        sample={
            "id": "44:5012",
            "learning_path": {"id": 44, "external_id": "LP-CLOUD", "name": "Cloud Engineer"},
            "user": references.SAMPLE_LEARNER,
            "completed_at": "2026-11-24T15:04:05.000Z",
            "course_count": 2,
            "courses": [
                {**references.SAMPLE_COURSE, "completed_at": "2026-10-09T14:30:00.000Z"},
                {"id": 318, "external_id": "AZ-400", "name": "DevOps", "completed_at": "2026-11-24T15:04:05.000Z"},
            ],
            "subscription": references.SAMPLE_SUBSCRIPTION,
            "organization": references.SAMPLE_ORGANIZATION,
        },
        sample_actor=ActorKind.USER,
    ),
)
