"""The format ``skillable`` has the names and values of the training system's API: flat, with numbers and seconds."""

from __future__ import annotations

import json

import pytest

from tms_webhooks import catalogue
from tms_webhooks.catalogue.types import BUILT_IN
from tms_webhooks.choices import PayloadDetail, PayloadFormat
from tms_webhooks.payloads.formats import RequestFormat, render, tailored
from tms_webhooks.payloads.formats.skillable import api_name

ENOUGH = 1_000_000
OF_ALL_EVENTS = ("EventId", "EventType", "EventTimestamp", "Sequence", "Changed", "Previous")
LISTS = {
    "class": ["SessionTimes", "InstructorIds", "Instructors"],
    "user": ["RoleIds", "Roles", "ManagedOrganizationIds"],
    "learning_path": ["Courses"],
}
PERSON = ("UserFirstName", "UserLastName", "UserEmail")


def rendered(event_type, *, detail=PayloadDetail.FULL, **changes):
    shape = RequestFormat(format=PayloadFormat.SKILLABLE, detail=detail)
    event = catalogue.get(event_type).example()
    event["data"].update(changes)
    body = render(shape, tailored(shape, event), limit=ENOUGH)
    assert body.content_type == "application/json"
    return json.loads(body.body)


def test_a_class_is_written_as_the_api_writes_it():
    assert rendered("class.rescheduled") == {
        "EventId": "evt_0123456789abcdef0123456789abcdef",
        "EventType": "class.rescheduled",
        "EventTimestamp": 1795532645,
        "Id": 8840,
        "ExternalId": "AZ-104-2026-12",
        "Name": "Azure Administrator, December",
        "Description": "Four days in Utrecht and online.",
        "ConfirmationStatusId": 3,
        "Enabled": True,
        "IsPublic": True,
        "AllowSelfEnrollment": False,
        "DeliveryTypeId": 3,
        "Start": 1799654400,
        "End": 1800028800,
        "SessionTimes": [{"Start": 1799654400, "End": 1800028800}],
        "TimeZoneId": "W. Europe Standard Time",
        "MinStudents": 4,
        "MaxStudents": 16,
        "NumEnroll": 9,
        "NumOpen": 7,
        "PrimaryClassroomId": 77,
        "PrimaryClassroomName": "Utrecht 2.04",
        "ClassroomAddress1": "Stationsplein 1",
        "ClassroomAddress2": None,
        "ClassroomCity": "Utrecht",
        "ClassroomState": None,
        "ClassroomZip": "3511 ED",
        "ClassroomCountry": "NL",
        "MeetingFingerprint": "5d1f0c9ab27e4418",
        "PrimaryInstructorId": 4100,
        "PrimaryInstructorExternalId": "E-10033",
        "PrimaryInstructorFirstName": "Bob",
        "PrimaryInstructorLastName": "Mensah",
        "PrimaryInstructorEmail": "bob.mensah@example.com",
        "InstructorIds": [4100, 4107],
        "Instructors": [
            {
                "Id": 4100,
                "ExternalId": "E-10033",
                "FirstName": "Bob",
                "LastName": "Mensah",
                "Email": "bob.mensah@example.com",
            },
            {
                "Id": 4107,
                "ExternalId": "E-10051",
                "FirstName": "Dana",
                "LastName": "Ortiz",
                "Email": "dana.ortiz@example.com",
            },
        ],
        "CourseId": 301,
        "CourseExternalId": "AZ-104",
        "CourseName": "Azure Administrator",
        "OrganizationId": 12,
        "OrganizationExternalId": "ACME-EU",
        "OrganizationName": "Acme Europe",
        "CompanyId": None,
        "Created": 1788255000,
        "LastModified": 1795532645,
        "Sequence": 3,
        "Changed": ["ConfirmationStatusId", "Start", "End", "SessionTimes"],
        "Previous": {
            "ConfirmationStatusId": 1,
            "Start": 1796630400,
            "End": 1797004800,
            "SessionTimes": [{"Start": 1796630400, "End": 1796745600}, {"Start": 1796889600, "End": 1797004800}],
        },
    }


@pytest.mark.parametrize("event_type", BUILT_IN, ids=lambda event_type: event_type.name)
def test_no_two_fields_share_a_name_and_everything_but_the_old_values_is_flat(event_type):
    names = [api_name(event_type.noun.name, field.name, field.kind) for field in event_type.fields]

    assert len({*names, *OF_ALL_EVENTS, "Truncated"}) == len(names) + len(OF_ALL_EVENTS) + 1
    flat = rendered(event_type.name)
    assert list(flat) == [*OF_ALL_EVENTS[:3], *names, *OF_ALL_EVENTS[3:]]
    lists = [name for name, value in flat.items() if isinstance(value, list)]
    assert lists == [*LISTS.get(event_type.noun.name, ()), "Changed"]
    assert [name for name, value in flat.items() if isinstance(value, dict)] == ["Previous"]


def test_the_fields_of_a_missing_object_are_null():
    flat = rendered("class_feedback.created", user=None)

    assert {name: flat[name] for name in ("UserId", *PERSON)} == dict.fromkeys(("UserId", *PERSON))


# By noun, the fields of the API's results that events have, and those that no event has.
# https://github.com/LearnOnDemandSystems/ConnectAPI has the API's document.
OF_THE_API = {
    "class": (
        "Id ExternalId Name Description Enabled ConfirmationStatusId CourseId OrganizationId OrganizationName CompanyId "
        "DeliveryTypeId PrimaryInstructorId PrimaryInstructorFirstName PrimaryInstructorLastName InstructorIds "
        "PrimaryClassroomId Start End SessionTimes TimeZoneId MinStudents MaxStudents NumOpen NumEnroll "
        "AllowSelfEnrollment IsPublic",
        "HtmlDescription VirtualMeetingHostId VirtualMeetingId CustomVirtualClassroomUrl EnableClassTrainingKey "
        "ClassTrainingKey DisableLabs EnableEnrollmentNotifications SurveyId InstructorSurveyId OrganizationSurveyId",
    ),
    "enrollment": (
        "Id ExternalId UserId ClassId EnrollmentStatusId CompletionStatusId LateCancel Retake LocationTypeId ClassroomId "
        "HoursSpent Grade UserExternalId ClassName ClassExternalId LastModified",
        "",
    ),
    "course_assignment": (
        "Id ExternalId CourseId UserId ClubMembershipId Expires TargetCompletion Started Completed CourseName "
        "UserExternalId FirstName LastName Email OrganizationId PaymentType Created",
        # The names of a single assignment; a search has the others.
        "Expire Start Complete",
    ),
    "subscription": ("Id ExternalId ClubId UserId Starts Expires TargetCompletion", ""),
    "user": (
        "Id ExternalId Title FirstName MiddleName LastName UserName OrganizationId CompanyId ManagerId Disabled Email "
        "Phone Phone2 Address1 Address2 City State CountryCode Zip TimeZoneId",
        "Country ProfileImageUrl",
    ),
    "feedback": (
        "Submitted CourseId CourseName Title Content Positive Negative UserId UserExternalId CourseAssignmentId "
        "ClassEnrollmentId ActivityId ActivityTypeId ActivityName",
        "",
    ),
}


@pytest.mark.parametrize("noun", OF_THE_API)
def test_a_result_of_the_api_has_these_fields_by_these_names_and_others_that_are_missing(noun):
    names = {
        api_name(noun, field.name, field.kind) for one in BUILT_IN if one.noun.name == noun for field in one.fields
    }
    same, missing = (set(text.split()) for text in OF_THE_API[noun])

    assert same <= names
    assert not missing & names
