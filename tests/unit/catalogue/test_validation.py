"""A payload that breaks its schema is refused with a message that names the path and the rule, and never the value."""

import pytest

from tms_webhooks import catalogue
from tms_webhooks.exceptions import PayloadError

MISSING = object()


def refusal(name, envelope):
    with pytest.raises(PayloadError) as caught:
        catalogue.get(name).validate(envelope)
    return str(caught.value)


def changed(name, path, value):
    """Return the sample of an event with another value at a path; `MISSING` removes it."""
    envelope = catalogue.get(name).example()
    *parents, leaf = path.split(".")
    target = envelope
    for parent in parents:
        target = target[parent]
    target[leaf] = value
    if value is MISSING:
        del target[leaf]
    return envelope


@pytest.mark.parametrize(
    "name, path, value, reason",
    [
        (
            "enrollment.waitlisted",
            "data.user.email",
            {"address": "mallory@example.com"},
            '$.data.user.email breaks type ["string", "null"].',
        ),
        ("enrollment.waitlisted", "data.user.id", MISSING, "$.data.user.id is missing (required)."),
        ("user.updated", "data.id", None, '$.data.id breaks type ["integer", "string"]: it is null.'),
        (
            "class.scheduled",
            "data.status",
            {"code": 8, "name": "Scheduled"},
            "$.data.status.code breaks enum [0, 1, 2, 3, 4, 5, 6, 7]",
        ),
        ("class.scheduled", "data.status", 0, '$.data.status breaks type "object"'),
        ("class.scheduled", "data.id", True, "$.data.id breaks type"),
        *(
            ("class.scheduled", "id", event_id, "$.id breaks pattern")
            for event_id in ("evt_1", "EVT_" + "0" * 32, "evt_" + "0" * 31 + "G", "0" * 32)
        ),
        ("class.scheduled", "type", "class.cancelled", '$.type breaks const "class.scheduled"'),
        ("class.scheduled", "version", 2, "$.version breaks const 1"),
        ("class.scheduled", "sequence", 0, "$.sequence breaks minimum 1"),
        ("class.scheduled", "organization", None, '$.organization breaks type "object"'),
        ("class.scheduled", "organization", {"id": 1}, "$.organization.external_id is missing (required)"),
        ("class.scheduled", "actor", {"kind": "robot", "id": None}, "$.actor.kind breaks enum"),
        ("class.scheduled", "changed", ["status", 1], '$.changed[1] breaks type "string"'),
        ("class.scheduled", "changed", ["status", "status"], "$.changed breaks uniqueItems true"),
        ("class.scheduled", "previous", None, '$.previous breaks type "object"'),
        ("class.scheduled", "previous", {"enabled": "yes"}, '$.previous.enabled breaks type ["boolean", "null"]'),
        ("class.scheduled", "data", [], '$.data breaks type "object"'),
        # Fields that one event requires
        ("course_assignment.expired", "data.expires_at", None, "$.data.expires_at breaks type"),
        ("course_assignment.expiring", "data.expires_at", None, "$.data.expires_at breaks type"),
        ("course_assignment.expiring", "details.days_left", None, "$.details.days_left breaks type"),
        ("course_assignment.expired", "data.completion_status", None, "$.data.completion_status breaks type"),
        ("enrollment.failed", "data.completion_status", None, "$.data.completion_status breaks type"),
        ("class_feedback.created", "data.class", None, '$.data.class breaks type "object"'),
    ],
)
def test_a_wrong_value_is_named_by_path_and_rule_and_never_shown(name, path, value, reason):
    message = refusal(name, changed(name, path, value))
    assert message.startswith(f"A payload of {name} breaks its schema: {reason}")
    assert "mallory" not in message


def test_two_missing_fields_are_named_once_each():
    envelope = catalogue.get("enrollment.waitlisted").example()
    del envelope["data"]["id"], envelope["data"]["status"]
    assert refusal("enrollment.waitlisted", envelope) == (
        "A payload of enrollment.waitlisted breaks its schema: "
        "$.data.id is missing (required); $.data.status is missing (required)."
    )


def test_many_reasons_are_counted_rather_than_listed():
    assert refusal("class.scheduled", {}) == (
        "A payload of class.scheduled breaks its schema: $.id is missing (required); $.type is missing (required); "
        "$.timestamp is missing (required) and 7 more."
    )


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
def test_an_instant_that_is_not_utc_with_milliseconds_is_refused(instant):
    message = refusal("class.scheduled", changed("class.scheduled", "data.start_at", instant))
    assert "$.data.start_at breaks pattern" in message
    assert not instant or instant not in message


@pytest.mark.parametrize(
    "name, path, value",
    [
        # An old value may be null where a new one may not.
        ("class.scheduled", "previous", {"status": None, "course": None}),
        # Ids may be text or numbers.
        ("class.scheduled", "data.id", "0f8b6c1e-3c52-4a7e-9a55-0c9f5a1d2b34"),
        ("class.scheduled", "organization", {"id": "acme", "external_id": None}),
        # A window may be open at either end, and feedback may be anonymous.
        ("course_assignment.expiring", "details.window", {"more_than_days": None, "less_than_days": 14}),
        ("course_assignment.expiring", "details.window", {"more_than_days": 0.5, "less_than_days": None}),
        ("class_feedback.created", "data.user", None),
    ],
)
def test_a_value_that_the_schema_allows_is_passed(name, path, value):
    catalogue.get(name).validate(changed(name, path, value))


def test_optional_fields_may_be_null_or_absent(make_event_type):
    event_type = make_event_type()
    envelope = event_type.example()
    envelope["data"] = {"id": 1, "status": {"code": 60, "name": "Enroll"}, "user": {"id": 2}}
    event_type.validate(envelope)
    envelope["data"] |= {"score": None, "taken_at": None, "room": {"id": None}, "user": {"id": 2, "email": None}}
    event_type.validate(envelope)
