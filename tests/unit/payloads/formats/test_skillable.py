"""The format ``skillable`` has the names and values of the training system's API: flat, with numbers and seconds."""

import json

from tests.unit.catalogue.conftest import each_event_type
from tms_webhooks import catalogue
from tms_webhooks.choices import PayloadDetail, PayloadFormat
from tms_webhooks.payloads.formats import RequestFormat, render, tailored
from tms_webhooks.payloads.formats.skillable import api_name

ENOUGH = 1_000_000
OF_ALL_EVENTS = ("EventId", "EventType", "EventTimestamp", "Sequence", "Changed", "Previous", "Digest")
LISTS = {
    "class": ["SessionTimes", "InstructorIds", "Instructors"],
    "user": ["Roles", "RoleNames", "ManagedOrganizations"],
    "learning_path": ["Courses"],
    "profile": ["CourseIds", "Courses"],
}
PERSON = ("UserFirstName", "UserLastName", "UserEmail")


def rendered(event_type, *, detail=PayloadDetail.FULL, **changes):
    shape = RequestFormat(format=PayloadFormat.SKILLABLE, detail=detail)
    event = catalogue.get(event_type).example()
    event["data"].update(changes)
    body = render(shape, tailored(shape, event), limit=ENOUGH)
    assert body.content_type == "application/json"
    return json.loads(body.body)


def test_the_details_of_an_event_stand_beside_its_object():
    body = rendered("course_assignment.expiring")

    assert (body["Id"], body["DaysLeft"], body["Late"], body["WindowLessThanDays"]) == (55120, 27.5, False, 30)
    assert rendered("webhook.exhausted")["FailedEventType"] == "class.cancelled"


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
        "ClassroomId": 77,
        "ClassroomName": "Utrecht 2.04",
        "ClassroomAddress1": "Stationsplein 1",
        "ClassroomAddress2": None,
        "ClassroomCity": "Utrecht",
        "ClassroomState": None,
        "ClassroomZip": "3511 ED",
        "ClassroomCountry": "NL",
        "MeetingFingerprint": "5d1f0c9ab27e4418",
        "InstructorId": 4100,
        "InstructorExternalId": "E-10033",
        "InstructorFirstName": "Bob",
        "InstructorLastName": "Mensah",
        "InstructorEmail": "bob.mensah@example.com",
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
        "Digest": "5d1f0c9ab27e44180c7be2f96a3d5e71",
    }


@each_event_type
def test_no_two_fields_share_a_name_and_everything_but_the_old_values_is_flat(event_type):
    fields = (*event_type.sent_fields, *event_type.details)
    names = [api_name(event_type.noun.name, field.name, field.kind) for field in fields]

    assert len({*names, *OF_ALL_EVENTS, "Truncated"}) == len(names) + len(OF_ALL_EVENTS) + 1
    flat = rendered(event_type.name)
    # A webhook has no row of the host's, and its events no digest. Nor has the event of an object that is removed.
    has_digest = event_type.noun.name != "webhook" and not event_type.is_removal
    last = OF_ALL_EVENTS[3:] if has_digest else OF_ALL_EVENTS[3:-1]
    assert list(flat) == [*OF_ALL_EVENTS[:3], *names, *last]
    lists = [name for name, value in flat.items() if isinstance(value, list)]
    assert lists == [*(one for one in LISTS.get(event_type.noun.name, ()) if one in names), "Changed"]
    assert [name for name, value in flat.items() if isinstance(value, dict)] == ["Previous"]


def test_the_fields_of_a_missing_object_are_null():
    flat = rendered("class_feedback.created", user=None)

    assert {name: flat[name] for name in ("UserId", *PERSON)} == dict.fromkeys(("UserId", *PERSON))
