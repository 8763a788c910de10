"""The filters of a subscription match events."""

import pytest
from django.core.exceptions import ValidationError

from tms_webhooks import catalogue
from tms_webhooks.choices import Audience
from tms_webhooks.filters import criteria
from tms_webhooks.filters.condition import EventValues
from tms_webhooks.filters.criteria import ORGANIZATIONS, PATHS
from tms_webhooks.routing.subscription_rules import SubscriptionRules

EVERYTHING = [event_type.name for event_type in catalogue.all_types()]


def is_met(key, values, name, body, organizations=()):
    (check,) = SubscriptionRules(None, {key: values}, None, Audience.BOTH).checks(name)
    return check.condition.holds(EventValues({**body, ORGANIZATIONS: {Audience.BOTH: list(organizations)}}))


BORN = {"changed": [], "previous": {}}
BOTH = {"organizations": ("12", "31")}


@pytest.mark.parametrize(
    "key, values, name, changes, expected",
    [
        # The id of an object that the event refers to, or of its subject
        *(
            ("course", values, name, {}, True)
            for values in ([301], ["301"], [1, 301])
            for name in ("enrollment.enrolled", "course_assignment.started")
        ),
        ("course", [302], "enrollment.enrolled", {}, False),
        *(
            ("class", [key], name, {}, key == 8840)
            for key in (8840, 8841)
            for name in ("enrollment.enrolled", "class.cancelled")
        ),
        # An organization by which the event comes
        ("organization", [12], "enrollment.enrolled", BOTH, True),
        ("organization", ["31"], "enrollment.enrolled", BOTH, True),
        ("organization", [31], "enrollment.enrolled", {}, False),
        # A status by its number or its name
        *(
            ("status_to", values, name, {}, name == "enrollment.enrolled")
            for values in ([60], ["Enroll"], ["enroll"], [0, 60])
            for name in ("enrollment.enrolled", "enrollment.cancelled")
        ),
        ("completion_status", ["Complete"], "enrollment.completed", {}, True),
        ("completion_status", [30], "course_assignment.completed", {}, True),
        # The status before a change of it; null is an event without one
        ("status_from", [20], "enrollment.enrolled", {}, True),
        ("status_from", ["Waitlist"], "enrollment.enrolled", {}, True),
        ("status_from", [60], "enrollment.enrolled", {}, False),
        ("status_from", [None], "enrollment.enrolled", {}, False),
        ("status_from", [None, 20], "enrollment.enrolled", {}, True),
        ("status_from", [None], "enrollment.enrolled", BORN, True),
        ("status_from", [20], "enrollment.enrolled", BORN, False),
        # Its other status changed.
        ("status_from", [60], "enrollment.completed", {}, False),
        ("actor_kind", ["api", "administrator"], "enrollment.enrolled", {}, True),
        ("actor_kind", ["user"], "enrollment.enrolled", {}, False),
    ],
)
def test_a_filter_is_met_by_an_event_with_one_of_its_values(key, values, name, changes, expected):
    organizations = changes.get("organizations", ("12",))

    assert is_met(key, values, name, {**catalogue.get(name).example(), **changes}, organizations) is expected


@pytest.mark.parametrize("body", [{}, {"data": None}, {"data": {"status": 60, "course": 7, "class": []}}])
@pytest.mark.parametrize("key", list(PATHS))
def test_a_payload_that_is_not_as_promised_meets_no_filter_and_breaks_none(key, body):
    assert not is_met(key, [301, "x"], "enrollment.enrolled", body)


def problems(filters, pattern="enrollment.*"):
    with pytest.raises(ValidationError) as raised:
        criteria.check(filters, catalogue.expand(pattern))
    return raised.value.messages


@pytest.mark.parametrize(
    "filters, message",
    [
        ({"courses": [301]}, 'Unknown filter: courses. Did you mean "course"?'),
        ({"xyz": [1]}, "Unknown filter: xyz. Use course, class, organization, status_from, status_to, completion"),
        *(
            ({"course": values}, "course: write a list of 1 to 200 values, or leave the filter out.")
            for values in (301, [], list(range(201)))
        ),
        ({"course": [True]}, "course: true is not an id; list values of data.id, such as 301."),
        ({"course": [None]}, "course: null is not an id"),
        ({"course": ["x" * 256]}, "is not an id"),
        ({"status_to": [61]}, "status_to: unknown value 61; choose from 0 Request, 10 Cancel, 20 Waitlist"),
        ({"status_to": ["Enrolled"]}, 'status_to: unknown value "Enrolled"; choose from 0 Request'),
        ({"status_from": ["Enrolled"]}, 'status_from: unknown value "Enrolled"; choose from 0 Request'),
        ({"actor_kind": ["robot"]}, 'actor_kind: unknown value "robot"; choose from user, administrator, api, system'),
        ({"first_occurrence": "yes"}, "first_occurrence takes true or false."),
        ({1: [1]}, "Unknown filter: 1."),
        ([], 'Filters are an object of lists, such as {"course": [301]}; write one, or {}.'),
    ],
)
def test_a_filter_that_means_nothing_is_refused(filters, message):
    (problem,) = problems(filters)

    assert message in problem


@pytest.mark.parametrize(
    "filters, pattern, lacking, having",
    [
        ({"course": [301]}, "user.*", "user.*", "class.*"),
        (
            {"class": [8840]},
            "user.updated",
            "user.updated",
            "class.*, class_feedback.*, course_feedback.*, feedback.*, enrollment.*",
        ),
        ({"status_to": [2]}, "course_assignment.*", "course_assignment.*", "class.*, enrollment.*"),
    ],
)
def test_a_filter_that_some_of_the_events_have_no_field_for_names_those_that_have_it(filters, pattern, lacking, having):
    (problem,) = problems(filters, pattern)

    (name,) = filters
    assert problem.startswith(f"{name}: not available for ")
    assert lacking in problem
    assert having in problem.partition("Events with this filter:")[2]


@pytest.mark.parametrize("key", ["organization", "actor_kind", "first_occurrence"])
def test_a_filter_of_every_event_is_allowed_for_the_pattern_of_all(key):
    values = {"organization": [12], "actor_kind": ["user"], "first_occurrence": True}

    criteria.check({key: values[key]}, catalogue.expand("*"))


def test_every_mistake_is_reported():
    assert len(problems({"course": 1, "class": [None], "status_to": [61, 62], "x": []})) == 5
