"""A small event type of a host's own, to test the catalogue's machinery with."""

from operator import attrgetter

import pytest

from tests.each import each
from tms_webhooks.catalogue import EventType, Field, FieldKind, Noun, status_value
from tms_webhooks.catalogue.types import BUILT_IN
from tms_webhooks.choices import EnrollmentStatus, FieldPrivacy

BASIC = FieldPrivacy.BASIC

each_event_type = each(BUILT_IN, attrgetter("name"))

EXAM = Noun(
    "exam",
    "Exam",
    (
        Field("id", FieldKind.ID, FieldPrivacy.ID, required=True, doc="Id of the exam."),
        Field("status", FieldKind.STATUS, BASIC, required=True, choices=EnrollmentStatus, doc="Where it stands."),
        Field("score", FieldKind.NUMBER, BASIC, doc="Score."),
        Field("attempts", FieldKind.INTEGER, BASIC, doc="How often."),
        Field("passed", FieldKind.BOOLEAN, BASIC, doc="Whether it was passed."),
        Field("taken_at", FieldKind.DATETIME, BASIC, doc="When."),
        Field("user.id", FieldKind.ID, FieldPrivacy.ID, required=True, doc="Id of the learner."),
        Field("user.email", FieldKind.STRING, FieldPrivacy.PERSONAL, doc="E-mail address of the learner."),
        Field("room.id", FieldKind.ID, FieldPrivacy.ID, doc="Id of the room."),
    ),
)

SAMPLE = {
    "id": 1,
    "status": status_value(EnrollmentStatus.ENROLL),
    "score": 7.5,
    "attempts": 2,
    "passed": True,
    "taken_at": "2026-11-24T15:04:05.000Z",
    "user": {"id": "u-1", "email": "alice@example.com"},
    "room": None,
}


@pytest.fixture
def make_event_type():
    """Make an event type that is not registered; whatever the test names replaces its defaults."""

    def make(name="exam.passed", **changes):
        arguments = {"noun": EXAM, "summary": "An exam was passed.", "sample": SAMPLE, **changes}
        return EventType(name, **arguments)

    return make
