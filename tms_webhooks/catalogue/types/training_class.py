"""Events of a class: its confirmation status, its dates, room, instructor and capacity, and its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.catalogue.schema import Field, FieldKind, Noun
from tms_webhooks.catalogue.types import references
from tms_webhooks.catalogue.values import status_value
from tms_webhooks.choices import ClassStatus, DeliveryType, FieldPrivacy

CLASS = Noun(
    "class",
    "Class",
    (
        *references.identity("the class"),
        Field("name", FieldKind.STRING, FieldPrivacy.BASIC, doc="Name of the class."),
        Field("description", FieldKind.STRING, FieldPrivacy.BASIC, doc="Description of the class."),
        Field(
            "status",
            FieldKind.STATUS,
            FieldPrivacy.BASIC,
            required=True,
            choices=ClassStatus,
            doc="Confirmation status of the class.",
        ),
        Field("enabled", FieldKind.BOOLEAN, FieldPrivacy.BASIC, doc="Whether the class is open for use."),
        Field("is_public", FieldKind.BOOLEAN, FieldPrivacy.BASIC, doc="Whether the class is in the public schedule."),
        Field(
            "allow_self_enrollment",
            FieldKind.BOOLEAN,
            FieldPrivacy.BASIC,
            doc="Whether learners may enroll themselves.",
        ),
        Field(
            "delivery_type",
            FieldKind.STATUS,
            FieldPrivacy.BASIC,
            choices=DeliveryType,
            doc="Whether the class is held in a room, online, or both.",
        ),
        Field("start_at", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="When the first session starts."),
        Field("end_at", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="When the last session ends."),
        Field(
            "session_times",
            FieldKind.OBJECTS,
            FieldPrivacy.BASIC,
            items=(
                Field("start_at", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="When the session starts."),
                Field("end_at", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="When the session ends."),
            ),
            doc="The sessions of the class, by their start.",
        ),
        Field(
            "time_zone", FieldKind.STRING, FieldPrivacy.BASIC, doc="Id of the time zone that the class is planned in."
        ),
        Field("min_students", FieldKind.INTEGER, FieldPrivacy.BASIC, doc="Fewest learners the class runs with."),
        Field("max_students", FieldKind.INTEGER, FieldPrivacy.BASIC, doc="Most learners the class takes."),
        Field(
            "enrolled_count",
            FieldKind.INTEGER,
            FieldPrivacy.BASIC,
            doc="How many learners are enrolled, as of the event. No part of a digest.",
        ),
        Field(
            "open_count",
            FieldKind.INTEGER,
            FieldPrivacy.BASIC,
            doc="How many seats are open, as of the event. No part of a digest.",
        ),
        Field("classroom.id", FieldKind.ID, FieldPrivacy.ID, doc="Id of the primary classroom."),
        Field("classroom.name", FieldKind.STRING, FieldPrivacy.BASIC, doc="Name of the primary classroom."),
        Field("classroom.address1", FieldKind.STRING, FieldPrivacy.BASIC, doc="First line of the classroom's address."),
        Field(
            "classroom.address2", FieldKind.STRING, FieldPrivacy.BASIC, doc="Second line of the classroom's address."
        ),
        Field("classroom.city", FieldKind.STRING, FieldPrivacy.BASIC, doc="City of the classroom."),
        Field("classroom.state", FieldKind.STRING, FieldPrivacy.BASIC, doc="State or province of the classroom."),
        Field("classroom.zip", FieldKind.STRING, FieldPrivacy.BASIC, doc="Postal code of the classroom."),
        Field("classroom.country", FieldKind.STRING, FieldPrivacy.BASIC, doc="Country of the classroom."),
        Field(
            "meeting_fingerprint",
            FieldKind.FINGERPRINT,
            FieldPrivacy.BASIC,
            doc="Changes whenever the virtual meeting changes; null without a meeting. The meeting's link is never sent.",
        ),
        *references.person("instructor", "the primary instructor"),
        Field("instructor_ids", FieldKind.IDS, FieldPrivacy.ID, doc="Ids of all instructors of the class."),
        references.people("instructors", "All instructors of the class. `changed` names `instructor_ids`."),
        *references.course(),
        *references.organization("the organization that owns the class"),
        Field("company.id", FieldKind.ID, FieldPrivacy.ID, doc="Id of the company that the class is dedicated to."),
        *references.record_times(),
    ),
)

_CLASSROOM: Mapping[str, Any] = {
    "id": 77,
    "name": "Utrecht 2.04",
    "address1": "Stationsplein 1",
    "address2": None,
    "city": "Utrecht",
    "state": None,
    "zip": "3511 ED",
    "country": "NL",
}
_SAMPLE: Mapping[str, Any] = {
    "id": 8840,
    "external_id": "AZ-104-2026-12",
    "name": "Azure Administrator, December",
    "description": "Four days in Utrecht and online.",
    "status": status_value(ClassStatus.SCHEDULED),
    "enabled": True,
    "is_public": True,
    "allow_self_enrollment": False,
    "delivery_type": status_value(DeliveryType.MIXED),
    "start_at": "2026-12-07T08:00:00.000Z",
    "end_at": "2026-12-11T16:00:00.000Z",
    "session_times": [
        {"start_at": "2026-12-07T08:00:00.000Z", "end_at": "2026-12-08T16:00:00.000Z"},
        {"start_at": "2026-12-10T08:00:00.000Z", "end_at": "2026-12-11T16:00:00.000Z"},
    ],
    "time_zone": "W. Europe Standard Time",
    "min_students": 4,
    "max_students": 16,
    "enrolled_count": 9,
    "open_count": 7,
    "classroom": _CLASSROOM,
    "meeting_fingerprint": "5d1f0c9ab27e4418",
    "instructor": {
        "id": 4100,
        "external_id": "E-10033",
        "first_name": "Bob",
        "last_name": "Mensah",
        "email": "bob.mensah@example.com",
    },
    "instructor_ids": [4100, 4107],
    "instructors": [
        {
            "id": 4100,
            "external_id": "E-10033",
            "first_name": "Bob",
            "last_name": "Mensah",
            "email": "bob.mensah@example.com",
        },
        {
            "id": 4107,
            "external_id": "E-10051",
            "first_name": "Dana",
            "last_name": "Ortiz",
            "email": "dana.ortiz@example.com",
        },
    ],
    "course": references.SAMPLE_COURSE,
    "organization": references.SAMPLE_ORGANIZATION,
    "company": {"id": None},
    "created_at": "2026-09-01T09:30:00.000Z",
    "updated_at": "2026-11-24T15:04:05.123Z",
}


def _status_event(
    verb: str,
    summary: str,
    *,
    before: ClassStatus | None,
    after: ClassStatus,
    old: Mapping[str, Any] | None = None,
    **now: Any,
) -> EventType:
    return EventType(
        f"class.{verb}",
        CLASS,
        summary,
        sample={**_SAMPLE, "status": status_value(after), **now},
        sample_previous={} if before is None else {"status": status_value(before), **(old or {})},
    )


EVENT_TYPES = (
    _status_event(
        "scheduled",
        "A class was scheduled: its status became Scheduled.",
        before=ClassStatus.REQUESTED,
        after=ClassStatus.SCHEDULED,
    ),
    _status_event(
        "guaranteed_to_run",
        "A class is guaranteed to take place: its status became Guaranteed To Run.",
        before=ClassStatus.SCHEDULED,
        after=ClassStatus.GUARANTEED_TO_RUN,
    ),
    _status_event(
        "cancelled",
        "A class was cancelled: its status became Cancelled. This does not cancel its enrollments.",
        before=ClassStatus.SCHEDULED,
        after=ClassStatus.CANCELLED,
    ),
    _status_event(
        "rescheduled",
        "A class was moved to other dates: its status became Rescheduled.",
        before=ClassStatus.GUARANTEED_TO_RUN,
        after=ClassStatus.RESCHEDULED,
        old={
            "start_at": _SAMPLE["start_at"],
            "end_at": _SAMPLE["end_at"],
            "session_times": _SAMPLE["session_times"],
        },
        start_at="2027-01-11T08:00:00.000Z",
        end_at="2027-01-15T16:00:00.000Z",
        session_times=[{"start_at": "2027-01-11T08:00:00.000Z", "end_at": "2027-01-15T16:00:00.000Z"}],
    ),
    _status_event(
        "tentative",
        "A class is planned but not confirmed: its status became Tentative.",
        before=ClassStatus.REQUESTED,
        after=ClassStatus.TENTATIVE,
        enrolled_count=0,
        open_count=16,
    ),
    _status_event(
        "requested",
        "A class was requested: its status became Requested.",
        before=None,
        after=ClassStatus.REQUESTED,
        enrolled_count=0,
        open_count=16,
    ),
    _status_event(
        "denied",
        "The request for a class was denied: its status became Denied.",
        before=ClassStatus.REQUESTED,
        after=ClassStatus.DENIED,
        enrolled_count=0,
        open_count=16,
    ),
    _status_event(
        "completed",
        "A class is over: its status became Completed. The enrollment events report the result of each learner.",
        before=ClassStatus.GUARANTEED_TO_RUN,
        after=ClassStatus.COMPLETED,
        start_at="2026-11-16T08:00:00.000Z",
        end_at="2026-11-20T16:00:00.000Z",
        session_times=[{"start_at": "2026-11-16T08:00:00.000Z", "end_at": "2026-11-20T16:00:00.000Z"}],
    ),
    EventType(
        "class.updated",
        CLASS,
        "A class changed in something other than its status, such as its dates, sessions, room, meeting, instructors or "
        "capacity.",
        sample={
            **_SAMPLE,
            "max_students": 20,
            "open_count": 11,
            "classroom": {**_CLASSROOM, "id": 81, "name": "Utrecht 3.11"},
        },
        sample_previous={"max_students": 16, "classroom": {"id": 77}},
    ),
    EventType(
        "class.deleted",
        CLASS,
        "A class was deleted; the data is its last state.",
        sample={**_SAMPLE, "status": status_value(ClassStatus.CANCELLED), "enrolled_count": 0, "open_count": 16},
    ),
)
