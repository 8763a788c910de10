"""Conditions match events."""

from __future__ import annotations

import pytest

from tms_webhooks import catalogue
from tms_webhooks.filters.condition import EventValues, OneOf, part_about
from tms_webhooks.filters.parsing import parse

COMPLETED = catalogue.get("enrollment.completed")
EVENT = COMPLETED.example()
"""Completed with a grade of 88, and before that attending; of user 5012, in course 301, whose class began on 23 November."""


def holds(condition, event=EVENT, event_type=COMPLETED) -> bool:
    return parse(condition, [event_type]).holds(EventValues(event))


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"data.grade": 88}, True),
        ({"data.grade": 87}, False),
        ({"data.retake": False}, True),
        ({"data.course.name": "Azure Administrator"}, True),
        ({"data.course.name": "azure administrator"}, False),
        ({"data.completion_status.code": 20}, True),
        ({"data.completion_status.name": "Complete"}, True),
        ({"previous.completion_status.name": "Attending"}, True),
        ({"previous.status.code": None}, True),
        ({"actor.kind": "administrator"}, True),
        ({"actor.kind": "api"}, False),
        ({"actor.id": 7}, True),
        ({"data.class.start_at": "2026-11-23T08:00:00Z"}, True),
        ({"data.class.start_at": "2026-11-23T10:00:00+02:00"}, True),
        ({"data.class.start_at": "2026-11-23"}, False),
    ],
)
def test_a_value_has_to_be_equal(condition, expected):
    assert holds(condition) is expected


def test_an_id_may_be_written_as_a_number_or_as_text():
    assert holds({"data.course.id": 301})
    assert holds({"data.course.id": "301"})
    assert holds({"data.course.external_id": "AZ-104"})


def test_true_is_not_one():
    assert not holds({"data.late_cancel": True}, {"data": {"late_cancel": 1}})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"data.course.id": [300, 301]}, True),
        ({"previous.grade": [None, 5]}, True),
        ({"changed": "grade"}, True),
        ({"changed": ["status", "grade"]}, True),
    ],
)
def test_one_of_a_list_is_enough(condition, expected):
    assert holds(condition) is expected


class CountedId(int):
    """An id that counts how often one is compared."""

    comparisons = 0
    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        CountedId.comparisons += 1
        return int.__eq__(self, other)


@pytest.mark.parametrize(("wanted", "expected"), [(range(100), False), (range(50, 150), True)])
def test_a_long_list_is_compared_with_long_lists_without_going_through_them(monkeypatch, wanted, expected):
    monkeypatch.setattr(CountedId, "comparisons", 0)
    condition = OneOf("data.instructor_ids", None, tuple(map(CountedId, wanted)))
    event = EventValues({"data": {"instructor_ids": [CountedId(key) for key in range(100, 1_000)]}})

    assert condition.holds(event) is expected
    assert CountedId.comparisons <= 1


def test_a_path_is_read_once_however_many_conditions_compare_it():
    class Body(dict):
        reads = 0

        def get(self, key):
            self.reads += 1
            return super().get(key)

    body = Body(data={"grade": 88})
    event = EventValues(body)

    for grade in range(80, 90):
        assert parse({"data.grade": grade}, [COMPLETED]).holds(event) is (grade == 88)
    assert parse({"data.grade": {"gte": 80}}, [COMPLETED]).holds(event)

    assert body.reads == 1


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"data.grade": {"gte": 88}}, True),
        ({"data.grade": {"lte": 88}}, True),
        ({"data.grade": {"gte": 50, "lt": 90}}, True),
        ({"data.grade": {"gte": 50, "lt": 80}}, False),
        ({"data.class.start_at": {"gte": "2026-11-23", "lt": "2026-11-24"}}, True),
        ({"data.class.start_at": {"gt": "2026-11-23T08:00:00Z"}}, False),
        ({"data.class.start_at": {"gt": "2026-11-23T08:00:00+01:00"}}, True),
        ({"previous.grade": {"gte": 0}}, False),
    ],
)
def test_numbers_and_times_have_ranges_and_nothing_is_in_none_of_them(condition, expected):
    assert holds(condition) is expected


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"data.grade": {"exists": True}}, True),
        ({"data.grade": {"exists": False}}, False),
        ({"previous.grade": {"exists": False}}, True),
        ({"previous.user.id": {"exists": False}}, True),
        ({"data.grade": {"exists": True, "lt": 50}}, False),
    ],
)
def test_a_value_exists_if_it_is_not_null(condition, expected):
    assert holds(condition) is expected


TRUE, FALSE = {"data.grade": 88}, {"data.grade": 1}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ({"data.grade": 88, "actor.kind": "administrator"}, True),
        ({"data.grade": 88, "actor.kind": "api"}, False),
        ({"all": [TRUE, TRUE]}, True),
        ({"all": [TRUE, FALSE]}, False),
        ({"any": [FALSE, TRUE]}, True),
        ({"not": TRUE}, False),
        ({"any": [FALSE, {"all": [TRUE, {"not": FALSE}]}]}, True),
        ({"not": {"any": [FALSE, FALSE]}, "data.grade": 88}, True),
    ],
)
def test_conditions_are_joined_by_all_any_and_not(condition, expected):
    assert holds(condition) is expected


@pytest.mark.parametrize("body", [{}, {"data": None}, {"data": []}, {"data": {"grade": "88"}}, {"data": {"grade": {}}}])
def test_a_payload_that_is_not_as_promised_meets_no_range_and_breaks_nothing(body):
    assert not holds({"data.grade": {"gte": 50}}, body)
    assert not holds({"data.grade": 88}, body)


def test_a_condition_is_described_in_words():
    condition = {
        "data.course.id": [301, 302],
        "any": [{"data.grade": {"gte": 50, "lt": 80}}, {"not": {"data.retake": True}}],
        "previous.grade": {"exists": False},
    }

    assert str(parse(condition, [COMPLETED])) == (
        "data.course.id is 301 or 302 and (data.grade is at least 50 and less than 80 or not (data.retake is true)) "
        "and previous.grade has no value"
    )


@pytest.mark.parametrize(
    ("condition", "part"),
    [
        ({"data.grade": 88}, "data.grade is 88"),
        ({"data.grade": 88, "changed": "grade"}, "data.grade is 88"),
        ({"any": [{"data.grade": 88}, {"data.retake": True}]}, "data.grade is 88 or data.retake is true"),
        ({"any": [{"data.grade": 88}, {"changed": "grade"}]}, None),
        ({"not": {"data.grade": 88}}, "not (data.grade is 88)"),
        ({"not": {"data.grade": 88, "changed": "grade"}}, None),
    ],
    ids=str,
)
def test_the_part_about_some_paths_leaves_the_others_open(condition, part):
    found = part_about(parse(condition, [COMPLETED]), lambda path: path.startswith("data."))
    assert (None if found is None else str(found)) == part
