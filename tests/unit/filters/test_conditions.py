"""Conditions match events."""

import pytest

from tms_webhooks import catalogue
from tms_webhooks.filters.condition import EventValues, OneOf, part_about
from tms_webhooks.filters.parsing import parse

COMPLETED = catalogue.get("enrollment.completed")
EVENT = COMPLETED.example()
"""Completed with a grade of 88, and before that attending; of user 5012, in course 301, whose class began on 23 November."""


def holds(condition, event=EVENT, event_type=COMPLETED):
    return parse(condition, [event_type]).holds(EventValues(event))


TRUE, FALSE = {"data.grade": 88}, {"data.grade": 1}


@pytest.mark.parametrize(
    "condition",
    [
        {"data.grade": 88},
        {"data.retake": False},
        {"data.course.name": "Azure Administrator"},
        {"data.completion_status.code": 20},
        {"data.completion_status.name": "Complete"},
        {"previous.completion_status.name": "Attending"},
        {"previous.status.code": None},
        {"actor.kind": "administrator"},
        {"actor.id": 7},
        {"data.class.start_at": "2026-11-23T08:00:00Z"},
        {"data.class.start_at": "2026-11-23T10:00:00+02:00"},
        {"data.course.id": [300, 301]},
        {"previous.grade": [None, 5]},
        {"changed": "grade"},
        {"changed": ["status", "grade"]},
        {"data.grade": {"gte": 88}},
        {"data.grade": {"lte": 88}},
        {"data.grade": {"gte": 50, "lt": 90}},
        {"data.class.start_at": {"gte": "2026-11-23", "lt": "2026-11-24"}},
        {"data.class.start_at": {"gt": "2026-11-23T08:00:00+01:00"}},
        {"data.grade": {"exists": True}},
        {"previous.grade": {"exists": False}},
        {"previous.user.id": {"exists": False}},
        {"data.grade": 88, "actor.kind": "administrator"},
        {"all": [TRUE, TRUE]},
        {"any": [FALSE, TRUE]},
        {"any": [FALSE, {"all": [TRUE, {"not": FALSE}]}]},
        {"not": {"any": [FALSE, FALSE]}, "data.grade": 88},
    ],
)
def test_equal_values_lists_ranges_existing_values_and_their_combinations_hold(condition):
    assert holds(condition)


@pytest.mark.parametrize(
    "condition",
    [
        {"data.grade": 87},
        {"data.course.name": "azure administrator"},
        {"actor.kind": "api"},
        {"data.class.start_at": "2026-11-23"},
        {"data.grade": {"gte": 50, "lt": 80}},
        {"data.class.start_at": {"gt": "2026-11-23T08:00:00Z"}},
        {"previous.grade": {"gte": 0}},
        {"data.grade": {"exists": False}},
        {"data.grade": {"exists": True, "lt": 50}},
        {"data.grade": 88, "actor.kind": "api"},
        {"all": [TRUE, FALSE]},
        {"not": TRUE},
    ],
)
def test_other_values_do_not_hold(condition):
    assert not holds(condition)


def test_an_id_may_be_written_as_a_number_or_as_text():
    assert holds({"data.course.id": 301})
    assert holds({"data.course.id": "301"})
    assert holds({"data.course.external_id": "AZ-104"})


def test_true_is_not_one():
    assert not holds({"data.late_cancel": True}, {"data": {"late_cancel": 1}})


class CountedId(int):
    """An id that counts how often one is compared."""

    comparisons = 0
    __hash__ = int.__hash__

    def __eq__(self, other):
        CountedId.comparisons += 1
        return int.__eq__(self, other)


@pytest.mark.parametrize("wanted, expected", [(range(100), False), (range(50, 150), True)])
def test_a_long_list_is_compared_with_long_lists_without_going_through_them(monkeypatch, wanted, expected):
    monkeypatch.setattr(CountedId, "comparisons", 0)
    condition = OneOf("data.instructor_ids", None, tuple(map(CountedId, wanted)))
    event = EventValues({"data": {"instructor_ids": [CountedId(key) for key in range(100, 1_000)]}})

    assert condition.holds(event) is expected
    assert CountedId.comparisons <= 1


def test_a_path_is_read_once_however_many_conditions_compare_it():
    class Body(dict):
        reads = 0

        def __getitem__(self, key):
            self.reads += 1
            return super().__getitem__(key)

    body = Body(data={"grade": 88})
    event = EventValues(body)

    for grade in range(80, 90):
        assert parse({"data.grade": grade}, [COMPLETED]).holds(event) is (grade == 88)
    assert parse({"data.grade": {"gte": 80}}, [COMPLETED]).holds(event)

    assert body.reads == 1


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
    "condition, part",
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
