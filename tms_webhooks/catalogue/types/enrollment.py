"""Events of a learner's enrollment in a class. It has two statuses: that of the enrollment and that of completion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.catalogue.schema import Field, FieldKind, Noun
from tms_webhooks.catalogue.types import references
from tms_webhooks.catalogue.values import status_value
from tms_webhooks.choices import ActorKind, CompletionStatus, EnrollmentStatus, FieldPrivacy, LocationType

ENROLLMENT = Noun(
    "enrollment",
    "Enrollment",
    (
        *references.identity("the enrollment"),
        Field(
            "status",
            FieldKind.STATUS,
            FieldPrivacy.BASIC,
            required=True,
            choices=EnrollmentStatus,
            doc="Status of the learner's place in the class.",
        ),
        Field(
            "completion_status",
            FieldKind.STATUS,
            FieldPrivacy.BASIC,
            choices=CompletionStatus,
            doc="Completion status of the enrolled learner.",
        ),
        Field(
            "late_cancel",
            FieldKind.BOOLEAN,
            FieldPrivacy.BASIC,
            doc="Whether it was cancelled shortly before the class.",
        ),
        Field("retake", FieldKind.BOOLEAN, FieldPrivacy.BASIC, doc="Whether the learner takes the course again."),
        Field("hours_spent", FieldKind.NUMBER, FieldPrivacy.BASIC, doc="Hours the learner spent in the class."),
        Field("grade", FieldKind.NUMBER, FieldPrivacy.BASIC, doc="The learner's grade."),
        Field(
            "location_type",
            FieldKind.STATUS,
            FieldPrivacy.BASIC,
            choices=LocationType,
            doc="Where the learner attends.",
        ),
        Field("classroom.id", FieldKind.ID, FieldPrivacy.ID, doc="Id of the classroom that the learner attends in."),
        *references.learner(),
        *references.training_class(required=True),
        *references.course(),
        *references.organization("the organization that owns the class"),
        *references.reference("learner_organization", "the learner's organization"),
        *references.record_times(),
    ),
)

_SAMPLE: Mapping[str, Any] = {
    "id": 70031,
    "external_id": "ENR-70031",
    "status": status_value(EnrollmentStatus.ENROLL),
    "completion_status": status_value(CompletionStatus.UNKNOWN),
    "late_cancel": False,
    "retake": False,
    "hours_spent": None,
    "grade": None,
    "location_type": status_value(LocationType.CLASSROOM),
    "classroom": {"id": 77},
    "user": references.SAMPLE_LEARNER,
    "class": references.SAMPLE_CLASS,
    "course": references.SAMPLE_COURSE,
    "organization": references.SAMPLE_ORGANIZATION,
    "learner_organization": {"id": 31, "external_id": "GLOBEX", "name": "Globex"},
    "created_at": "2026-10-12T11:20:00.000Z",
    "updated_at": "2026-11-24T15:04:05.123Z",
}
# The completion status is known during the class or after it, so these samples have an earlier class.
_IN_CLASS: Mapping[str, Any] = {
    **_SAMPLE,
    "class": {**references.SAMPLE_CLASS, "start_at": "2026-11-23T08:00:00.000Z", "end_at": "2026-11-24T15:00:00.000Z"},
}


def _status_event(
    verb: str,
    summary: str,
    *,
    before: EnrollmentStatus | None,
    after: EnrollmentStatus,
    actor: ActorKind = ActorKind.ADMINISTRATOR,
) -> EventType:
    return EventType(
        f"enrollment.{verb}",
        ENROLLMENT,
        summary,
        sample={**_SAMPLE, "status": status_value(after)},
        sample_previous={} if before is None else {"status": status_value(before)},
        sample_actor=actor,
    )


def _completion_event(
    verb: str, summary: str, *, before: CompletionStatus, after: CompletionStatus, **now: Any
) -> EventType:
    return EventType(
        f"enrollment.{verb}",
        ENROLLMENT,
        summary,
        sample={**_IN_CLASS, "completion_status": status_value(after), **now},
        sample_previous={"completion_status": status_value(before), **dict.fromkeys(now)},
        needs=("completion_status",),
    )


EVENT_TYPES = (
    _status_event(
        "requested",
        "A learner requested a place in a class: the status became Request.",
        before=None,
        after=EnrollmentStatus.REQUEST,
        actor=ActorKind.USER,
    ),
    _status_event(
        "cancelled",
        "A learner's enrollment was cancelled: the status became Cancel.",
        before=EnrollmentStatus.ENROLL,
        after=EnrollmentStatus.CANCEL,
    ),
    _status_event(
        "waitlisted",
        "A learner waits for a place in a class: the status became Waitlist.",
        before=EnrollmentStatus.REQUEST,
        after=EnrollmentStatus.WAITLIST,
    ),
    _status_event(
        "approved",
        "A learner's request for a place was approved: the status became Approve.",
        before=EnrollmentStatus.REQUEST,
        after=EnrollmentStatus.APPROVE,
    ),
    _status_event(
        "denied",
        "A learner's request for a place was denied: the status became Deny.",
        before=EnrollmentStatus.REQUEST,
        after=EnrollmentStatus.DENY,
    ),
    _status_event(
        "audited",
        "A learner attends without taking a seat: the status became Audit.",
        before=EnrollmentStatus.WAITLIST,
        after=EnrollmentStatus.AUDIT,
    ),
    _status_event(
        "enrolled",
        "A learner has a place in a class: the status became Enroll.",
        before=EnrollmentStatus.WAITLIST,
        after=EnrollmentStatus.ENROLL,
    ),
    _completion_event(
        "attending",
        "An enrolled learner is attending the class.",
        before=CompletionStatus.UNKNOWN,
        after=CompletionStatus.ATTENDING,
    ),
    _completion_event(
        "completed",
        "An enrolled learner completed the class.",
        before=CompletionStatus.ATTENDING,
        after=CompletionStatus.COMPLETE,
        hours_spent=14,
        grade=88,
    ),
    _completion_event(
        "incomplete",
        "An enrolled learner did not complete the class.",
        before=CompletionStatus.ATTENDING,
        after=CompletionStatus.INCOMPLETE,
        hours_spent=6.5,
    ),
    _completion_event(
        "no_show",
        "An enrolled learner did not come.",
        before=CompletionStatus.UNKNOWN,
        after=CompletionStatus.NO_SHOW,
    ),
    _completion_event(
        "failed",
        "An enrolled learner failed the class.",
        before=CompletionStatus.ATTENDING,
        after=CompletionStatus.FAILED,
        hours_spent=14,
        grade=41,
    ),
    EventType(
        "enrollment.updated",
        ENROLLMENT,
        "An enrollment changed in something other than its statuses, such as its grade or hours, or it moved to another "
        "class. A completion status that is set back to Unknown is an update, too.",
        sample={
            **_IN_CLASS,
            "completion_status": status_value(CompletionStatus.COMPLETE),
            "hours_spent": 14,
            "grade": 91,
        },
        sample_previous={"grade": 88},
    ),
    EventType(
        "enrollment.deleted",
        ENROLLMENT,
        "An enrollment was deleted, possibly with its class; the data is its last state.",
        sample={**_SAMPLE, "status": status_value(EnrollmentStatus.CANCEL)},
    ),
)
