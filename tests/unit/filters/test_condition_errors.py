"""An invalid condition is refused, with a message that names the path and the remedy."""

from datetime import date

import pytest
from django.core.exceptions import ValidationError

from tms_webhooks import catalogue
from tms_webhooks.filters.condition import EventValues
from tms_webhooks.filters.parsing import check, parse
from tms_webhooks.filters.paths import MOST_PROBLEMS


def problems(condition, pattern="enrollment.*"):
    with pytest.raises(ValidationError) as raised:
        check(condition, catalogue.expand(pattern))
    return raised.value.messages


@pytest.mark.parametrize(
    "condition, message",
    [
        ({"data.grad": 1}, 'data.grad is not a field of these events. Did you mean "data.grade"'),
        ({"grade": 1}, 'grade is not a field of these events. Did you mean "data.grade"'),
        ({"xyz": 1}, "xyz is not a field of these events. Paths begin with data, details, previous, changed or actor."),
        ({"data.status": 60}, "data.status is a status; compare data.status.code or data.status.name."),
        ({"data.status.code": 61}, "data.status.code: unknown value 61. Choose from 0, 10, 20, 30, 40, 50, 60."),
        ({"changed": "grad"}, 'changed: unknown value "grad". Choose from id, external_id, status'),
        (
            {"actor.kind": "usr"},
            'actor.kind: unknown value "usr". Choose from user, administrator, api, system, reconcile. Did you mean "user"?',
        ),
        ({"data.grade": "88"}, 'data.grade: "88" is not allowed; write a number.'),
        ({"data.grade": {"gte": "many"}}, 'data.grade: "many" is not allowed; write a number.'),
        ({"data.grade": float("nan")}, "data.grade: nan is not allowed; write a number."),
        ({"data.retake": 1}, "data.retake: 1 is not allowed; write true or false."),
        ({"data.course.name": 7}, "data.course.name: 7 is not allowed; write text of at most 255 characters."),
        ({"data.course.id": 1.5}, 'data.course.id: 1.5 is not allowed; write an id, such as 301 or "AZ-104".'),
        ({"data.class.start_at": 1764000000}, "data.class.start_at: 1764000000 is not allowed; write a date"),
        ({"data.class.start_at": {"lt": "soon"}}, 'data.class.start_at: "soon" is not allowed; write a date'),
        ({"data.course.name": {"gt": "A"}}, "data.course.name is not a number or a time; list the accepted values"),
        ({"data.grade": {"gt": None}}, 'data.grade: null is not a bound; write {"exists": false}.'),
        (
            {"data.grade": {"above": 5}},
            "data.grade: unknown comparison above. Use gt, gte, lt, lte, exists, or list the accepted values.",
        ),
        ({"data.grade": {"exists": "yes"}}, "data.grade: exists takes true or false."),
        ({"data.grade": []}, "data.grade: the list is empty; no event can match."),
        ({"data.grade": list(range(1_001))}, "The condition has more than 1000 values, the limit"),
        ({"data.grade": [{date(2026, 3, 1): 1}]}, "data.grade: {datetime.date(2026, 3, 1): 1} is not allowed"),
        ({"any": {"data.grade": 1}}, "any: write a list of conditions."),
        ({"not": [{"data.grade": 1}]}, "Write an object with at least one path"),
        ({}, "Write an object with at least one path"),
        (7, "Write an object with at least one path"),
    ],
)
def test_an_invalid_condition_is_refused(condition, message):
    (problem,) = problems(condition)

    assert message in problem


def test_every_mistake_is_reported():
    assert len(problems({"data.grad": 1, "data.retake": 1, "any": [{"actor.kind": "robot"}]})) == 3


def test_a_field_of_only_some_of_the_events_is_refused_with_the_events_that_have_it():
    (problem,) = problems({"details.days_left": {"lt": 3}}, "course_assignment.*")

    assert "details.days_left: not a field of course_assignment.created, course_assignment.started" in problem
    assert "Subscribe to events with this field: course_assignment.expiring" in problem


@pytest.mark.parametrize("path", ["days_left", "data.days_left", "details.day_left"])
def test_a_field_of_the_details_is_found_by_a_name_like_its(path):
    (problem,) = problems({path: {"lt": 3}}, "course_assignment.expiring")

    assert 'Did you mean "details.days_left"' in problem


def test_a_field_of_other_events_is_refused_with_the_events_that_have_it():
    (problem,) = problems({"data.points": 5}, "class.*")

    assert "data.points: not a field of class.*. Subscribe to events with this field: achievement.*" in problem


def test_a_field_of_all_events_is_allowed_for_the_pattern_of_all():
    condition = {"actor.kind": ["user", "administrator"], "changed": {"exists": True}}

    assert parse(condition, catalogue.expand("*")).holds(EventValues(catalogue.get("user.updated").example()))


def test_depth_and_size_have_an_end():
    deep = {"data.grade": 1}
    for _level in range(6):
        deep = {"not": deep}
    wide = {"any": [{"data.grade": number} for number in range(51)]}

    assert problems(deep) == ["all, any and not are nested more than 5 deep."]
    assert problems(wide) == ["The condition has more than 50 parts, the limit. Use several subscriptions."]


@pytest.mark.parametrize(
    "bomb, expected",
    [
        ({"data.grade": 1}, ["The condition has more than 50 parts, the limit. Use several subscriptions."]),
        ({}, ['Write an object with at least one path, such as {"data.grade": {"gte": 50}}.'] * MOST_PROBLEMS),
    ],
)
def test_a_hostile_condition_takes_no_longer_than_an_honest_one(bomb, expected):
    for _level in range(5):
        bomb = {"any": [bomb] * 40}

    assert problems(bomb) == expected
