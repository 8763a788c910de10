"""One value of a host's, as JSON has it."""

import uuid
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from tms_webhooks import catalogue
from tms_webhooks.catalogue.schema import Field, FieldKind
from tms_webhooks.catalogue.values import value_at
from tms_webhooks.choices import EnrollmentStatus, FieldPrivacy
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.payloads.envelope import dotted_names, from_text, is_test, marked_as_test, nested_json, to_text

KEY = uuid.UUID("0f8b6c1e-3c52-4a7e-9a55-0c9f5a1d2b34")

ITEMS = (Field("id", FieldKind.ID, FieldPrivacy.ID), Field("room.seen_at", FieldKind.DATETIME, FieldPrivacy.BASIC))


def field(kind, name="thing"):
    choices = EnrollmentStatus if kind is FieldKind.STATUS else None
    items = ITEMS if kind is FieldKind.OBJECTS else ()
    return Field(name, kind, FieldPrivacy.BASIC, choices=choices, items=items)


def to_json(one, value):
    return value_at(nested_json([one], {one.name: value}), one.name)


def test_a_fingerprint_distinguishes_two_values_and_reveals_neither(settings):
    link = field(FieldKind.FINGERPRINT)
    first, second = to_json(link, "https://meet.example/1"), to_json(link, "https://meet.example/2")

    assert (first, first == second) == (to_json(link, "https://meet.example/1"), False)
    assert len(first) == 16
    assert "meet" not in first
    assert to_json(link, "") is None

    settings.SECRET_KEY = "another site's"
    assert to_json(link, "https://meet.example/1") != first


@pytest.mark.parametrize("kind", FieldKind)
def test_nothing_is_null(kind):
    assert to_json(field(kind), None) is None


@pytest.mark.parametrize(
    "kind, value, expected",
    [
        (FieldKind.ID, 7, 7),
        (FieldKind.ID, "A-7", "A-7"),
        (FieldKind.ID, KEY, str(KEY)),
        (FieldKind.ID, True, "True"),
        (FieldKind.IDS, [7, "A-7", KEY], [7, "A-7", str(KEY)]),
        (FieldKind.IDS, (), []),
        (FieldKind.OBJECTS, [], []),
        (
            FieldKind.OBJECTS,
            ({"id": KEY, "room.seen_at": date(2026, 1, 2), "secret": 1}, {}),
            [
                {"id": str(KEY), "room": {"seen_at": "2026-01-02T00:00:00.000Z"}},
                {"id": None, "room": {"seen_at": None}},
            ],
        ),
        (FieldKind.STRING, "Zoë", "Zoë"),
        (FieldKind.STRING, 7, "7"),
        (FieldKind.STRING, "", ""),
        (FieldKind.INTEGER, "12", 12),
        (FieldKind.INTEGER, Decimal("12"), 12),
        (FieldKind.INTEGER, 0, 0),
        (FieldKind.NUMBER, Decimal("6.5"), 6.5),
        (FieldKind.NUMBER, 14, 14),
        (FieldKind.BOOLEAN, 0, False),
        (FieldKind.BOOLEAN, True, True),
        (FieldKind.STATUS, 20, {"code": 20, "name": "Waitlist"}),
        (FieldKind.JSON, {"price": Decimal("1.50")}, {"price": "1.50"}),
        (FieldKind.STATUS, EnrollmentStatus.ENROLL, {"code": 60, "name": "Enroll"}),
    ],
)
def test_a_value_becomes_json_of_its_kind(kind, value, expected):
    result = to_json(field(kind), value)

    assert result == expected
    assert type(result) is type(expected)


@pytest.mark.parametrize(
    "value, expected",
    [
        (datetime(2026, 11, 24, 15, 4, 5, 123_999, tzinfo=UTC), "2026-11-24T15:04:05.123Z"),
        (datetime(2026, 11, 24, 16, 4, 5, tzinfo=timezone(timedelta(hours=1))), "2026-11-24T15:04:05.000Z"),
        (datetime(2026, 11, 24, 15, 4, 5), "2026-11-24T15:04:05.000Z"),  # noqa: DTZ001
        (date(2026, 11, 24), "2026-11-24T00:00:00.000Z"),
        (1_795_532_645, "2026-11-24T15:04:05.000Z"),
        (1_795_532_645.5, "2026-11-24T15:04:05.500Z"),
        ("2026-11-24T16:04:05+01:00", "2026-11-24T15:04:05.000Z"),
        ("2026-11-24", "2026-11-24T00:00:00.000Z"),
    ],
)
def test_a_time_is_written_in_utc_with_milliseconds(value, expected):
    assert to_json(field(FieldKind.DATETIME), value) == expected


@pytest.mark.parametrize(
    "kind, value, type_name",
    [
        (FieldKind.INTEGER, "a secret", "str"),
        (FieldKind.NUMBER, "a secret", "str"),
        (FieldKind.NUMBER, float("nan"), "float"),
        (FieldKind.NUMBER, float("inf"), "float"),
        (FieldKind.NUMBER, Decimal("NaN"), "Decimal"),
        (FieldKind.DATETIME, "a secret", "str"),
        (FieldKind.DATETIME, True, "bool"),
        (FieldKind.DATETIME, 1e300, "float"),
        (FieldKind.IDS, 7, "int"),
        (FieldKind.IDS, "7,8", "str"),
        (FieldKind.OBJECTS, "a secret", "str"),
        (FieldKind.OBJECTS, ["a secret"], "list"),
        (FieldKind.STATUS, 99, "int"),
        (FieldKind.STATUS, "a secret", "str"),
    ],
)
def test_a_value_that_can_not_be_sent_is_refused_without_being_quoted(kind, value, type_name):
    with pytest.raises(PayloadError) as refused:
        to_json(field(kind, "user.grade"), value)

    assert (
        str(refused.value) == f"user.grade: a {type_name} can't be sent as {kind.value}; map the field to another path."
    )


def test_the_names_in_an_object_are_those_of_the_fields_and_then_the_others():
    fields = [field(FieldKind.STATUS, "status"), field(FieldKind.ID, "user.id"), field(FieldKind.ID, "user.email")]
    nested = {"stars": 5, "user": {"id": None}, "status": {"code": 1}, "more": {"x": 1}}

    assert dotted_names(nested, fields) == ["status", "user.id", "stars", "more"]
    assert dotted_names({"user": None}, fields) == []
    assert dotted_names({}, fields) == []


def test_an_event_is_written_in_few_characters_and_read_back():
    whole = {"id": "evt_1", "data": {"name": "Zoë", "none": None, "yes": True, "n": 1.5}}

    assert to_text(whole) == '{"id":"evt_1","data":{"name":"Zoë","none":null,"yes":true,"n":1.5}}'
    assert from_text(to_text(whole)) == whole


@pytest.mark.parametrize("value", [float("nan"), float("-inf"), {1}, object(), datetime(2026, 1, 1, tzinfo=UTC)])
def test_a_value_that_json_can_not_represent_is_refused(value):
    with pytest.raises(PayloadError, match="can't be written as JSON"):
        to_text({"data": value})


def test_half_of_a_surrogate_pair_is_refused_without_quoting_the_text_around_it():
    with pytest.raises(PayloadError) as refused:
        to_text({"data": "a secret \ud800"})

    assert "secret" not in str(refused.value)


def test_the_mark_of_a_test_is_found_in_the_envelope_alone():
    whole = catalogue.get("class.cancelled").example()
    whole["data"]["custom"] = {"test": True}

    assert is_test(marked_as_test(to_text(whole)))
    assert marked_as_test(marked_as_test(to_text(whole))).count('"test":true,"organization"') == 1
    assert not is_test(to_text(whole))
    assert not is_test(to_text({"test": True}))
    assert not is_test("")
