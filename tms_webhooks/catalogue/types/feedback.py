"""Events of the feedback that learners write about a class or a course. Both share one description."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.catalogue.schema import Field, FieldKind, Noun
from tms_webhooks.catalogue.types import references
from tms_webhooks.catalogue.values import status_value
from tms_webhooks.choices import ActivityType, ActorKind, FieldPrivacy

FEEDBACK = Noun(
    "feedback",
    "Feedback",
    (
        *references.identity("the feedback"),
        Field("title", FieldKind.STRING, FieldPrivacy.PERSONAL, doc="Title of the feedback."),
        Field("content", FieldKind.STRING, FieldPrivacy.PERSONAL, doc="Text of the feedback."),
        Field("positive", FieldKind.BOOLEAN, FieldPrivacy.BASIC, doc="Whether the feedback is positive."),
        Field("negative", FieldKind.BOOLEAN, FieldPrivacy.BASIC, doc="Whether the feedback is negative."),
        Field("submitted_at", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="When the learner submitted it."),
        Field("activity.id", FieldKind.ID, FieldPrivacy.ID, doc="Id of the activity that it is about."),
        Field("activity.name", FieldKind.STRING, FieldPrivacy.BASIC, doc="Name of the activity that it is about."),
        Field(
            "activity.type",
            FieldKind.STATUS,
            FieldPrivacy.BASIC,
            choices=ActivityType,
            doc="Type of the activity that it is about.",
        ),
        *references.course(),
        *references.training_class(),
        *references.learner(required=False),
        *references.organization("the organization that owns the class or the course"),
        Field("enrollment.id", FieldKind.ID, FieldPrivacy.ID, doc="Id of the enrollment it was written in."),
        Field(
            "course_assignment.id", FieldKind.ID, FieldPrivacy.ID, doc="Id of the course assignment it was written in."
        ),
    ),
)

_SAMPLE: Mapping[str, Any] = {
    "id": 990,
    "external_id": None,
    "title": "Well paced",
    "content": "The labs were the best part. More time for questions would help.",
    "positive": True,
    "negative": False,
    "submitted_at": "2026-11-24T15:04:05.000Z",
    "activity": {"id": 6120, "name": "Lab 3: virtual networks", "type": status_value(ActivityType.LAB)},
    "course": references.SAMPLE_COURSE,
    "class": references.SAMPLE_CLASS,
    "user": references.SAMPLE_LEARNER,
    "organization": references.SAMPLE_ORGANIZATION,
    "enrollment": {"id": 70031},
    "course_assignment": {"id": None},
}

_ON_CLASS: Mapping[str, Any] = {
    **_SAMPLE,
    "class": {**references.SAMPLE_CLASS, "start_at": "2026-11-16T08:00:00.000Z", "end_at": "2026-11-20T16:00:00.000Z"},
}
_ON_COURSE: Mapping[str, Any] = {
    **_SAMPLE,
    "id": 991,
    "title": "Hard to follow",
    "content": "The second video has no captions.",
    "positive": False,
    "negative": True,
    "activity": {"id": 6133, "name": "Video 2: identity", "type": status_value(ActivityType.VIDEO)},
    "class": None,
    "enrollment": {"id": None},
    "course_assignment": {"id": 55120},
}


def _event_types(kind: str, label: str, sample: Mapping[str, Any]) -> tuple[EventType, ...]:
    """Return the events of the feedback on a class or on a course: ``kind`` says on which."""
    noun, needs = f"{kind}_feedback", (f"{kind}.id",)
    return (
        EventType(
            f"{noun}.created",
            FEEDBACK,
            f"A learner gave feedback on {label}.",
            sample=sample,
            needs=needs,
            sample_actor=ActorKind.USER,
        ),
        EventType(
            f"{noun}.updated",
            FEEDBACK,
            f"Feedback on {label} changed.",
            sample=sample,
            sample_previous={"positive": None},
            needs=needs,
            sample_actor=ActorKind.USER,
        ),
        EventType(
            f"{noun}.deleted",
            FEEDBACK,
            f"Feedback on {label} was deleted; the data is its last state.",
            sample=sample,
            needs=needs,
        ),
    )


EVENT_TYPES = (
    *_event_types("class", "a class", _ON_CLASS),
    *_event_types("course", "a course taken without a class", _ON_COURSE),
)
