"""A status is the number and the name that the training system's own API gives it."""

from __future__ import annotations

import pytest
from django.db.models import IntegerChoices
from django.utils import translation

from tms_webhooks import catalogue, choices
from tms_webhooks.catalogue import FieldKind, status_name, status_value

PUBLISHED: dict[type[IntegerChoices], dict[int, str]] = {
    choices.ClassStatus: {
        0: "Scheduled",
        1: "Guaranteed To Run",
        2: "Cancelled",
        3: "Rescheduled",
        4: "Tentative",
        5: "Requested",
        6: "Denied",
        7: "Completed",
    },
    choices.DeliveryType: {1: "Physical", 2: "Virtual", 3: "Mixed"},
    choices.EnrollmentStatus: {
        0: "Request",
        10: "Cancel",
        20: "Waitlist",
        30: "Approve",
        40: "Deny",
        50: "Audit",
        60: "Enroll",
    },
    choices.CompletionStatus: {
        0: "Unknown",
        10: "Attending",
        20: "Complete",
        30: "Incomplete",
        40: "No Show",
        50: "Failed",
    },
    choices.AssignmentCompletion: {0: "Not Started", 10: "Incomplete", 30: "Complete"},
    choices.AssignmentStatus: {0: "Active", 10: "Cancelled"},
    choices.LocationType: {0: "To Be Determined", 10: "Classroom", 20: "Remote Classroom", 30: "Virtual"},
    choices.ActivityType: {
        2: "Scorm Module",
        4: "Lab",
        10: "Survey",
        20: "Instructor Survey",
        30: "Organization Survey",
        40: "External Link",
        50: "Assessment",
        60: "Video",
        70: "Document",
        80: "Section",
    },
}

STATUS_OF_EVENT = {
    "class.scheduled": 0,
    "class.guaranteed_to_run": 1,
    "class.cancelled": 2,
    "class.rescheduled": 3,
    "class.tentative": 4,
    "class.requested": 5,
    "class.denied": 6,
    "class.completed": 7,
    "enrollment.requested": 0,
    "enrollment.cancelled": 10,
    "enrollment.waitlisted": 20,
    "enrollment.approved": 30,
    "enrollment.denied": 40,
    "enrollment.audited": 50,
    "enrollment.enrolled": 60,
}

COMPLETION_OF_EVENT = {
    "enrollment.attending": 10,
    "enrollment.completed": 20,
    "enrollment.incomplete": 30,
    "enrollment.no_show": 40,
    "enrollment.failed": 50,
    "course_assignment.created": 0,
    "course_assignment.started": 10,
    "course_assignment.completed": 30,
    "course_assignment.expired": 10,
    "course_assignment.expiring": 0,
}


@pytest.mark.parametrize("status", PUBLISHED, ids=lambda status: status.__name__)
def test_numbers_and_names_are_the_published_ones(status: type[IntegerChoices]) -> None:
    assert {member.value: status_name(member) for member in status} == PUBLISHED[status]
    assert {member.value: member.label for member in status} == PUBLISHED[status]


def test_every_status_that_a_payload_holds_is_a_published_one() -> None:
    used = {field.choices for event_type in catalogue.types.BUILT_IN for field in event_type.fields if field.choices}
    assert used == set(PUBLISHED)


def test_a_status_is_written_as_number_and_name() -> None:
    assert status_value(choices.EnrollmentStatus.WAITLIST) == {"code": 20, "name": "Waitlist"}
    assert type(status_value(choices.EnrollmentStatus.WAITLIST)["code"]) is int


def test_a_status_has_the_same_name_in_every_language() -> None:
    with translation.override("nl"):
        assert status_name(choices.CompletionStatus.NO_SHOW) == "No Show"


@pytest.mark.parametrize(("name", "code"), STATUS_OF_EVENT.items())
def test_a_status_event_shows_the_status_it_is_named_for(name: str, code: int) -> None:
    assert catalogue.get(name).example()["data"]["status"]["code"] == code


@pytest.mark.parametrize(("name", "code"), COMPLETION_OF_EVENT.items())
def test_a_completion_event_shows_the_completion_it_is_named_for(name: str, code: int) -> None:
    assert catalogue.get(name).example()["data"]["completion_status"]["code"] == code


def test_a_schema_lists_the_numbers_and_names_of_a_status() -> None:
    for event_type in catalogue.types.BUILT_IN:
        for field in event_type.fields:
            if field.kind is not FieldKind.STATUS or field.choices is None:
                continue
            properties = event_type.schema()["properties"]["data"]["properties"]
            for segment in field.name.split("."):
                properties = properties[segment]["properties"]
            assert (
                dict(zip(properties["code"]["enum"], properties["name"]["enum"], strict=True))
                == PUBLISHED[field.choices]
            )
