"""A field that the detail excludes is in no part of the request."""

import json
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

from tests.unit.catalogue.conftest import each_event_type
from tms_webhooks import catalogue
from tms_webhooks.catalogue.values import value_at
from tms_webhooks.choices import FieldPrivacy, PayloadDetail, PayloadFormat
from tms_webhooks.exceptions import UnknownEventType
from tms_webhooks.payloads.formats import RequestFormat, render, tailored

WITHOUT = RequestFormat(detail=PayloadDetail.NO_PERSONAL)
THIN = RequestFormat(detail=PayloadDetail.THIN)


def personal_values(event_type):
    example = event_type.example()
    names = [field.name for field in event_type.sent_fields if field.privacy is FieldPrivacy.PERSONAL]
    values = {value_at(example[part], name) for part in ("data", "previous") for name in names}
    listed = {
        one[item.name]
        for field in event_type.sent_fields
        for item in field.items
        for one in example["data"][field.name]
        if item.privacy is FieldPrivacy.PERSONAL
    }
    return (values | listed) - {None}


@pytest.mark.parametrize("format_", [PayloadFormat.STANDARD, PayloadFormat.SKILLABLE, PayloadFormat.CLOUDEVENTS])
@pytest.mark.parametrize("detail", [PayloadDetail.NO_PERSONAL, PayloadDetail.THIN])
@each_event_type
def test_no_personal_value_is_in_the_body(event_type, format_, detail):
    shape = RequestFormat(format=format_, detail=detail)

    body = render(shape, tailored(shape, event_type.example()), limit=1_000_000).body

    assert [value for value in personal_values(event_type) if value in body] == []


def test_without_personal_fields_the_rest_is_as_it_was():
    whole = catalogue.get("class.rescheduled").example()

    event = tailored(WITHOUT, catalogue.get("class.rescheduled").example())

    assert event["data"].pop("instructor") == {"id": 4100, "external_id": "E-10033"}
    assert event["data"].pop("instructors") == [
        {"id": 4100, "external_id": "E-10033"},
        {"id": 4107, "external_id": "E-10051"},
    ]
    del whole["data"]["instructor"], whole["data"]["instructors"]
    assert event == whole


def test_a_list_of_objects_has_the_fields_of_the_detail_or_is_left_out():
    event = catalogue.get("class.rescheduled").example()
    event["data"]["instructors"] = None

    thin = tailored(THIN, event)

    assert (thin["data"]["instructors"], "session_times" in thin["data"]) == (None, False)
    assert (thin["changed"], thin["previous"]) == ([], {})


def test_old_values_and_the_names_of_changed_fields_are_left_out_too():
    event = catalogue.get("user.updated").example()
    event["changed"].append("disabled")
    event["previous"]["disabled"] = True

    left = tailored(WITHOUT, event)

    assert (left["changed"], left["previous"]) == (["disabled"], {"disabled": True})
    assert "first_name" not in left["data"]


def test_a_thin_event_has_the_ids_of_everything():
    assert tailored(THIN, catalogue.get("enrollment.enrolled").example()) == {
        "id": "evt_0123456789abcdef0123456789abcdef",
        "type": "enrollment.enrolled",
        "timestamp": "2026-11-24T15:04:05.123Z",
        "version": 1,
        "organization": {"id": 12, "external_id": "ACME-EU"},
        "sequence": 3,
        "actor": {"kind": "administrator", "id": "7"},
        "digest": "5d1f0c9ab27e44180c7be2f96a3d5e71",
        "data": {
            "id": 70031,
            "external_id": "ENR-70031",
            "classroom": {"id": 77},
            "user": {"id": 5012, "external_id": "E-20417"},
            "class": {"id": 8840, "external_id": "AZ-104-2026-12"},
            "course": {"id": 301, "external_id": "AZ-104"},
            "organization": {"id": 12, "external_id": "ACME-EU"},
            "learner_organization": {"id": 31, "external_id": "GLOBEX"},
        },
        "changed": [],
        "previous": {},
    }


@pytest.mark.parametrize(
    ("name", "details"),
    [
        ("course_assignment.expiring", None),
        ("course_assignment.progressed", {"activity": {"id": 3014, "external_id": None}}),
        ("webhook.exhausted", {"event_id": "evt_89abcdef0123456789abcdef01234567"}),
        ("class.cancelled", None),
    ],
)
def test_a_thin_event_has_the_ids_among_the_details_and_no_details_without_one(name, details):
    thin = tailored(THIN, catalogue.get(name).example())

    assert thin.get("details") == details
    assert ("details" in thin) is (details is not None)


@pytest.mark.parametrize("shape", [WITHOUT, THIN])
def test_a_value_that_no_field_describes_is_left_out(shape):
    event = catalogue.get("enrollment.enrolled").example()
    event["data"]["nickname"] = "Ally"
    event["data"]["user"]["nickname"] = "Ally"
    event["changed"].append("nickname")
    event["previous"]["nickname"] = "Al"

    assert "nickname" not in json.dumps(tailored(shape, event))


def test_a_person_who_is_not_there_stays_null():
    event = catalogue.get("course_feedback.created").example()
    event["data"]["user"] = None

    assert tailored(WITHOUT, event)["data"]["user"] is None


def test_of_an_event_type_that_is_gone_nothing_can_be_left_out():
    event = {**catalogue.get("enrollment.enrolled").example(), "type": "enrollment.forgotten"}

    with pytest.raises(UnknownEventType):
        tailored(WITHOUT, event)


@pytest.mark.parametrize("api_url", ["https://tms.example.com/api", "https://tms.example.com/api/"])
def test_ids_alone_come_with_the_address_of_the_whole_event(api_url):
    event = tailored(
        RequestFormat(detail=PayloadDetail.THIN, api_url=api_url), catalogue.get("class.cancelled").example()
    )

    assert event["links"] == {"event": f"https://tms.example.com/api/events/{event['id']}/"}


@pytest.mark.parametrize(
    "shape", [THIN, RequestFormat(detail=PayloadDetail.NO_PERSONAL, api_url="https://tms.example.com/api")]
)
def test_without_an_api_or_with_more_than_ids_there_is_no_address(shape):
    assert "links" not in tailored(shape, catalogue.get("class.cancelled").example())


def test_an_event_that_is_too_large_comes_with_the_address_of_the_whole_one():
    example = catalogue.get("class.cancelled").example()
    address = f"https://tms.example.com/api/events/{example['id']}/"

    def sent(**kwargs):
        shape = RequestFormat(api_url="https://tms.example.com/api", **kwargs)
        return json.loads(render(shape, tailored(shape, example), limit=10).body)

    assert sent()["links"] == {"event": address}
    assert sent(format=PayloadFormat.CLOUDEVENTS)["data"]["links"] == {"event": address}
    assert sent(format=PayloadFormat.SKILLABLE)["EventUrl"] == address


@each_event_type
def test_each_payload_of_an_event_passes_its_schema(event_type):
    validator = Draft202012Validator(event_type.schema())
    example = event_type.example()
    thin = tailored(THIN, example)

    for body in (example, tailored(WITHOUT, example), thin):
        validator.validate(body)
    validator.validate(
        tailored(replace(THIN, api_url="https://training.example.com/api"), {**example, "truncated": True})
    )
