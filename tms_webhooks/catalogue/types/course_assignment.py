"""Events of a course assignment: a learner's progress in a self-paced course, and its deadline."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.catalogue.schema import Field, FieldKind, Noun
from tms_webhooks.catalogue.types import references
from tms_webhooks.catalogue.values import status_value
from tms_webhooks.choices import ActorKind, AssignmentCompletion, AssignmentStatus, FieldPrivacy

COURSE_ASSIGNMENT = Noun(
    "course_assignment",
    "Course assignment",
    (
        *references.identity("the course assignment"),
        Field(
            "completion_status",
            FieldKind.STATUS,
            FieldPrivacy.BASIC,
            choices=AssignmentCompletion,
            doc="How far the learner is; it follows from the dates.",
        ),
        Field(
            "assignment_status",
            FieldKind.STATUS,
            FieldPrivacy.BASIC,
            choices=AssignmentStatus,
            doc="Whether the assignment is active or cancelled.",
        ),
        Field("started_at", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="When the learner started the course."),
        Field("completed_at", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="When the learner completed the course."),
        Field("expires_at", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="When access ends; null if it never does."),
        Field(
            "target_completion_at",
            FieldKind.DATETIME,
            FieldPrivacy.BASIC,
            doc="When the learner should be done; it controls no access.",
        ),
        Field("progress", FieldKind.NUMBER, FieldPrivacy.BASIC, doc="How much of the course is done, in percent."),
        Field("payment_type", FieldKind.STRING, FieldPrivacy.BASIC, doc="How it was paid for."),
        *references.learner(),
        *references.course(required=True),
        *references.organization("the learner's organization"),
        *references.reference("subscription", "the subscription that it came with"),
        *references.record_times(),
    ),
)

ACTIVITY = (
    *references.reference("activity", "the activity whose progress changed"),
    Field("activity.completed_at", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="When the learner completed it."),
    Field("activity.score", FieldKind.NUMBER, FieldPrivacy.BASIC, doc="The learner's score in it."),
)

_SAMPLE: Mapping[str, Any] = {
    "id": 55120,
    "external_id": "ASG-55120",
    "completion_status": status_value(AssignmentCompletion.INCOMPLETE),
    "assignment_status": status_value(AssignmentStatus.ACTIVE),
    "started_at": "2026-10-05T07:12:44.000Z",
    "completed_at": None,
    "expires_at": "2027-03-30T00:00:00.000Z",
    "target_completion_at": "2026-12-15T00:00:00.000Z",
    "progress": 40,
    "payment_type": "Subscription (Azure Library)",
    "user": references.SAMPLE_LEARNER,
    "course": references.SAMPLE_COURSE,
    "organization": references.SAMPLE_ORGANIZATION,
    "subscription": references.SAMPLE_SUBSCRIPTION,
    "created_at": "2026-10-01T08:00:00.000Z",
    "updated_at": "2026-11-24T15:04:05.123Z",
}
_NOT_STARTED: Mapping[str, Any] = {
    **_SAMPLE,
    "completion_status": status_value(AssignmentCompletion.NOT_STARTED),
    "started_at": None,
    "progress": 0,
}

EVENT_TYPES = (
    EventType(
        "course_assignment.created",
        COURSE_ASSIGNMENT,
        "A course was assigned to a learner.",
        sample={**_NOT_STARTED, "created_at": "2026-11-24T15:04:05.123Z", "expires_at": "2027-05-23T00:00:00.000Z"},
    ),
    EventType(
        "course_assignment.started",
        COURSE_ASSIGNMENT,
        "A learner started an assigned course.",
        sample={**_SAMPLE, "started_at": "2026-11-24T15:04:05.000Z", "progress": 0},
        sample_previous={"completion_status": status_value(AssignmentCompletion.NOT_STARTED), "started_at": None},
        sample_actor=ActorKind.USER,
    ),
    EventType(
        "course_assignment.completed",
        COURSE_ASSIGNMENT,
        "A learner completed an assigned course.",
        sample={
            **_SAMPLE,
            "completion_status": status_value(AssignmentCompletion.COMPLETE),
            "completed_at": "2026-11-24T15:04:05.000Z",
            "progress": 100,
        },
        sample_previous={"completion_status": status_value(AssignmentCompletion.INCOMPLETE), "completed_at": None},
        sample_actor=ActorKind.USER,
    ),
    EventType(
        "course_assignment.expired",
        COURSE_ASSIGNMENT,
        "The allotted time ran out before a learner completed the course: Not Started or Incomplete.",
        sample={
            **_SAMPLE,
            "expires_at": "2026-11-24T15:00:00.000Z",
            "target_completion_at": "2026-11-15T00:00:00.000Z",
        },
        needs=("completion_status", "expires_at"),
        sample_actor=ActorKind.SYSTEM,
    ),
    EventType(
        "course_assignment.expiring",
        COURSE_ASSIGNMENT,
        "A course assignment that is not completed entered a window of days before its expiration.",
        sample={**_NOT_STARTED, "expires_at": references.SAMPLE_EXPIRES_AT},
        sample_details=references.SAMPLE_WINDOW,
        details=references.window(),
        needs=("completion_status", "expires_at"),
        sample_actor=ActorKind.SYSTEM,
    ),
    EventType(
        "course_assignment.cancelled",
        COURSE_ASSIGNMENT,
        "A course assignment was cancelled.",
        sample={**_NOT_STARTED, "assignment_status": status_value(AssignmentStatus.CANCELLED)},
        sample_previous={"assignment_status": status_value(AssignmentStatus.ACTIVE)},
    ),
    EventType(
        "course_assignment.updated",
        COURSE_ASSIGNMENT,
        "A course assignment changed in something other than its status or progress, such as its expiration or target.",
        sample={
            **_SAMPLE,
            "expires_at": "2027-06-30T00:00:00.000Z",
            "target_completion_at": "2027-03-15T00:00:00.000Z",
        },
        sample_previous={
            "expires_at": "2027-03-30T00:00:00.000Z",
            "target_completion_at": "2026-12-15T00:00:00.000Z",
        },
    ),
    EventType(
        "course_assignment.reopened",
        COURSE_ASSIGNMENT,
        "The completion, cancellation or expiry of a course assignment was undone: the learner has time left.",
        sample=_SAMPLE,
        sample_previous={"expires_at": "2026-11-20T00:00:00.000Z"},
    ),
    EventType(
        "course_assignment.deleted",
        COURSE_ASSIGNMENT,
        "A course assignment was deleted; the data is its last state.",
        sample=_NOT_STARTED,
    ),
    EventType(
        "course_assignment.progressed",
        COURSE_ASSIGNMENT,
        "A learner made progress in an assigned course: an activity was started or completed, or its score changed.",
        sample=_SAMPLE,
        sample_details={
            "activity": {
                "id": 3014,
                "external_id": None,
                "name": "Lab 4: Virtual networks",
                "completed_at": "2026-11-24T15:04:05.000Z",
                "score": 92,
            },
        },
        sample_previous={"activity": {"completed_at": None, "score": None}},
        details=ACTIVITY,
        sample_actor=ActorKind.USER,
    ),
)
