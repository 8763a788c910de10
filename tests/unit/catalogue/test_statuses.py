"""A status is the number and the name that the training system's own API gives it."""

import pytest
from django.utils import translation

from tms_webhooks import catalogue, choices
from tms_webhooks.catalogue import status_name, status_value

PUBLISHED = {
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


@pytest.mark.parametrize("status", PUBLISHED, ids=lambda status: status.__name__)
def test_numbers_and_names_are_the_published_ones(status):
    assert {member.value: status_name(member) for member in status} == PUBLISHED[status]
    assert {member.value: member.label for member in status} == PUBLISHED[status]


def test_every_status_that_a_payload_holds_is_a_published_one():
    used = {field.choices for event_type in catalogue.types.BUILT_IN for field in event_type.fields if field.choices}
    assert used == set(PUBLISHED)


def test_a_status_is_written_as_number_and_name():
    assert status_value(choices.EnrollmentStatus.WAITLIST) == {"code": 20, "name": "Waitlist"}
    assert type(status_value(choices.EnrollmentStatus.WAITLIST)["code"]) is int


def test_a_status_has_the_same_name_in_every_language():
    with translation.override("nl"):
        assert status_name(choices.CompletionStatus.NO_SHOW) == "No Show"
