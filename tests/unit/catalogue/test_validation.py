"""A payload that breaks its schema is refused with a message that names the path and the rule, and never the value."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.catalogue.conftest import MakeEventType
from tms_webhooks import catalogue
from tms_webhooks.exceptions import PayloadError


def refusal(name: str, envelope: dict[str, Any]) -> str:
    with pytest.raises(PayloadError) as caught:
        catalogue.get(name).validate(envelope)
    return str(caught.value)


def test_a_wrong_value_is_named_by_path_and_rule_and_never_shown() -> None:
    envelope = catalogue.get("enrollment.waitlisted").example()
    envelope["data"]["user"]["email"] = {"address": "mallory@example.com"}
    message = refusal("enrollment.waitlisted", envelope)
    assert message == (
        'A payload of enrollment.waitlisted breaks its schema: $.data.user.email breaks type ["string", "null"].'
    )
    assert "mallory" not in message


def test_a_missing_field_is_named_by_its_own_path() -> None:
    envelope = catalogue.get("enrollment.waitlisted").example()
    del envelope["data"]["user"]["id"]
    assert refusal("enrollment.waitlisted", envelope) == (
        "A payload of enrollment.waitlisted breaks its schema: $.data.user.id is missing (required)."
    )


def test_two_missing_fields_are_named_once_each() -> None:
    envelope = catalogue.get("enrollment.waitlisted").example()
    del envelope["data"]["id"], envelope["data"]["status"]
    assert refusal("enrollment.waitlisted", envelope) == (
        "A payload of enrollment.waitlisted breaks its schema: "
        "$.data.id is missing (required); $.data.status is missing (required)."
    )


def test_many_reasons_are_counted_rather_than_listed() -> None:
    assert refusal("class.scheduled", {}) == (
        "A payload of class.scheduled breaks its schema: $.id is missing (required); $.type is missing (required); "
        "$.timestamp is missing (required) and 7 more."
    )


def test_a_required_field_that_is_null_is_refused() -> None:
    envelope = catalogue.get("user.updated").example()
    envelope["data"]["id"] = None
    assert '$.data.id breaks type ["integer", "string"]: it is null.' in refusal("user.updated", envelope)


def test_a_status_outside_its_list_is_refused() -> None:
    envelope = catalogue.get("class.scheduled").example()
    envelope["data"]["status"] = {"code": 8, "name": "Scheduled"}
    assert "$.data.status.code breaks enum [0, 1, 2, 3, 4, 5, 6, 7]" in refusal("class.scheduled", envelope)


def test_a_status_as_a_bare_number_is_refused() -> None:
    envelope = catalogue.get("class.scheduled").example()
    envelope["data"]["status"] = 0
    assert '$.data.status breaks type "object"' in refusal("class.scheduled", envelope)


def test_a_true_is_no_id() -> None:
    envelope = catalogue.get("class.scheduled").example()
    envelope["data"]["id"] = True
    assert "$.data.id breaks type" in refusal("class.scheduled", envelope)


@pytest.mark.parametrize(
    "instant",
    [
        "2026-11-24",
        "2026-11-24T15:04:05Z",
        "2026-11-24T15:04:05.123456Z",
        "2026-11-24T15:04:05.123+00:00",
        "2026-11-24 15:04:05.123Z",
        "2026-13-24T15:04:05.123Z",
        "2026-11-32T15:04:05.123Z",
        "2026-11-24T24:04:05.123Z",
        "٢٠٢٦-11-24T15:04:05.123Z",
        "",
    ],
)
def test_an_instant_that_is_not_utc_with_milliseconds_is_refused(instant: str) -> None:
    envelope = catalogue.get("class.scheduled").example()
    envelope["data"]["start_at"] = instant
    message = refusal("class.scheduled", envelope)
    assert "$.data.start_at breaks pattern" in message
    assert not instant or instant not in message


@pytest.mark.parametrize("event_id", ["evt_1", "EVT_" + "0" * 32, "evt_" + "0" * 31 + "G", "0" * 32])
def test_an_ill_formed_event_id_is_refused(event_id: str) -> None:
    envelope = catalogue.get("class.scheduled").example()
    envelope["id"] = event_id
    assert "$.id breaks pattern" in refusal("class.scheduled", envelope)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("type", "class.cancelled", '$.type breaks const "class.scheduled"'),
        ("version", 2, "$.version breaks const 1"),
        ("sequence", 0, "$.sequence breaks minimum 1"),
        ("organization", None, '$.organization breaks type "object"'),
        ("organization", {"id": 1}, "$.organization.external_id is missing (required)"),
        ("actor", {"kind": "robot", "id": None}, "$.actor.kind breaks enum"),
        ("changed", ["status", 1], '$.changed[1] breaks type "string"'),
        ("changed", ["status", "status"], "$.changed breaks uniqueItems true"),
        ("previous", None, '$.previous breaks type "object"'),
        ("previous", {"enabled": "yes"}, '$.previous.enabled breaks type ["boolean", "null"]'),
        ("data", [], '$.data breaks type "object"'),
    ],
)
def test_each_part_of_the_envelope_is_checked(key: str, value: Any, reason: str) -> None:
    envelope = catalogue.get("class.scheduled").example()
    envelope[key] = value
    assert reason in refusal("class.scheduled", envelope)


def test_an_old_value_may_be_null_where_a_new_one_may_not() -> None:
    envelope = catalogue.get("class.scheduled").example()
    envelope["previous"] = {"status": None, "course": None}
    catalogue.get("class.scheduled").validate(envelope)


def test_ids_may_be_text_or_numbers() -> None:
    envelope = catalogue.get("class.scheduled").example()
    envelope["data"]["id"] = "0f8b6c1e-3c52-4a7e-9a55-0c9f5a1d2b34"
    envelope["organization"] = {"id": "acme", "external_id": None}
    catalogue.get("class.scheduled").validate(envelope)


def test_optional_fields_may_be_null_or_absent(make_event_type: MakeEventType) -> None:
    event_type = make_event_type()
    envelope = event_type.example()
    envelope["data"] = {"id": 1, "status": {"code": 60, "name": "Enroll"}, "user": {"id": 2}}
    event_type.validate(envelope)
    envelope["data"] |= {"score": None, "taken_at": None, "room": {"id": None}, "user": {"id": 2, "email": None}}
    event_type.validate(envelope)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("course_assignment.expired", "expires_at"),
        ("course_assignment.expiring", "expires_at"),
        ("course_assignment.expiring", "days_left"),
        ("course_assignment.expired", "completion_status"),
        ("enrollment.failed", "completion_status"),
    ],
)
def test_an_event_is_refused_without_its_required_fields(name: str, field: str) -> None:
    envelope = catalogue.get(name).example()
    envelope["data"][field] = None
    assert f"$.data.{field} breaks type" in refusal(name, envelope)


def test_a_window_may_be_open_at_either_end() -> None:
    event_type = catalogue.get("course_assignment.expiring")
    envelope = event_type.example()
    envelope["data"]["window"] = {"more_than_days": None, "less_than_days": 14}
    event_type.validate(envelope)
    envelope["data"]["window"] = {"more_than_days": 0.5, "less_than_days": None}
    event_type.validate(envelope)


def test_feedback_may_be_anonymous() -> None:
    event_type = catalogue.get("class_feedback.created")
    envelope = event_type.example()
    envelope["data"]["user"] = None
    event_type.validate(envelope)


def test_class_feedback_is_refused_without_a_class() -> None:
    envelope = catalogue.get("class_feedback.created").example()
    envelope["data"]["class"] = None
    assert '$.data.class breaks type "object"' in refusal("class_feedback.created", envelope)
