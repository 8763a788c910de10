"""What a person types wrongly is refused when it is saved, with the field, the value and the remedy."""

from __future__ import annotations

import math
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from example_project.training.factories import OrganizationFactory
from tests.catalogue import temporary_type
from tests.factories import WebhookFactory
from tms_webhooks.catalogue import EventType, Field, FieldKind, Noun
from tms_webhooks.choices import FieldPrivacy
from tms_webhooks.models import Subscription, Webhook

URL = "https://receiver.example.com/hook"
EXAM = EventType(
    "exam.passed",
    Noun("exam", "Exam", (Field("id", FieldKind.ID, FieldPrivacy.ID, required=True),)),
    "An exam was passed.",
    sample={"id": 1},
)


def refusals(record: Webhook | Subscription) -> dict[str, list[str]]:
    """Return what is wrong with a record, by field; nothing where all is well."""
    try:
        record.full_clean()
    except ValidationError as error:
        return error.message_dict
    return {}


def subscription(event_type: str, **days: Any) -> Subscription:
    return Subscription(webhook=WebhookFactory(), event_type=event_type, **days)


def webhook(**typed: Any) -> Webhook:
    return Webhook(organization=OrganizationFactory(), name="HR", **{"url": URL, **typed})


@pytest.mark.parametrize("event_type", ["class.cancelled", "class.*", "class_feedback.*", "*", "webhook.failing"])
def test_names_and_patterns_of_the_catalogue_are_taken(event_type: str) -> None:
    assert refusals(subscription(event_type)) == {}


@pytest.mark.parametrize(
    ("event_type", "nearest"),
    [
        ("class.canceled", "class.cancelled"),
        ("clas.*", "class.*"),
        ("enrolment.waitlisted", "enrollment.waitlisted"),
        ("Class.Cancelled", "class.cancelled"),
    ],
)
def test_an_unknown_event_is_refused_with_the_nearest_names(event_type: str, nearest: str) -> None:
    problems = refusals(subscription(event_type))
    assert list(problems) == ["event_type"]
    (problem,) = problems["event_type"]
    assert problem.startswith(f'Unknown event: {event_type}. Did you mean "{nearest}"')


def test_an_event_like_no_other_is_refused_with_the_forms_there_are() -> None:
    assert refusals(subscription("zzz")) == {
        "event_type": ["Unknown event: zzz. Choose an existing one, all events of a noun as class.*, or *."]
    }


def test_an_empty_event_is_refused_once() -> None:
    assert refusals(subscription("")) == {"event_type": ["This field cannot be blank."]}


def test_an_event_of_the_hosts_own_is_taken_while_it_is_registered() -> None:
    own = subscription("exam.passed")
    assert "event_type" in refusals(own)
    with temporary_type(EXAM):
        assert refusals(own) == {}
        assert refusals(subscription("exam.*")) == {}
    assert "event_type" in refusals(own)


def test_a_window_that_nothing_can_be_in_is_refused() -> None:
    problems = refusals(subscription("course_assignment.expiring", more_than_days=30, less_than_days=7))
    assert problems["more_than_days"] == [
        "More than days is 30, and less than days is 7; the first has to be the smaller one."
    ]


@pytest.mark.parametrize(
    ("days", "problem"),
    [
        ({"less_than_days": math.nan}, "nan is not a number of days from 0 to 36,500."),
        ({"less_than_days": math.inf}, "inf is not a number of days from 0 to 36,500."),
        ({"less_than_days": 36_501}, "36501 is not a number of days from 0 to 36,500."),
        ({"more_than_days": math.nan, "less_than_days": 7}, "nan is not a number of days from 0 to 36,500."),
        ({"more_than_days": -math.inf, "less_than_days": 7}, "-inf is not a number of days from 0 to 36,500."),
        ({"more_than_days": -0.5, "less_than_days": 7}, "-0.5 is not a number of days from 0 to 36,500."),
        ({"less_than_days": 0}, "More than days is 0, and less than days is 0; the first has to be the smaller one."),
    ],
)
def test_a_number_of_days_that_is_none_is_refused_with_its_value(days: dict[str, float], problem: str) -> None:
    assert [*refusals(subscription("course_assignment.expiring", **days)).values()] == [[problem]]


@pytest.mark.parametrize("event_type", ["class_feedback.*", "class.cancelled", "class.*", "course_assignment.expired"])
def test_a_window_needs_an_event_about_a_date_that_comes_near(event_type: str) -> None:
    problems = refusals(subscription(event_type, less_than_days=7))
    assert list(problems) == ["less_than_days"]
    assert problems["less_than_days"][0].endswith("does not depend on a date; leave both days empty.")


@pytest.mark.parametrize("event_type", ["voucher.expiring", "voucher.*", "course_assignment.*", "*"])
def test_a_pattern_with_an_expiring_event_may_have_a_window(event_type: str) -> None:
    assert refusals(subscription(event_type, more_than_days=2, less_than_days=7)) == {}


def test_a_header_line_without_an_equals_sign_is_refused_without_its_text() -> None:
    problems = refusals(webhook(headers="X-Team=HR\nAuthorization: Bearer abc"))
    assert problems == {"headers": ["Line 2: The “=” is missing. Write name=value, or remove the line."]}


def test_a_url_that_is_not_allowed_is_refused() -> None:
    problems = refusals(webhook(url="ftp://receiver.example.com/hook"))
    assert problems == {"url": ["URL: the scheme 'ftp' is not HTTP; begin with 'https://'."]}


def test_a_webhook_without_a_mistake_is_taken() -> None:
    assert refusals(webhook(headers="X-Team=HR")) == {}


@pytest.mark.parametrize("nothing", [{}, {"filters": {}}, {"condition": None}, {"condition": {}}])
def test_a_subscription_needs_neither_filters_nor_a_condition(nothing: dict[str, Any]) -> None:
    assert refusals(subscription("*", **nothing)) == {}


def test_filters_and_conditions_that_events_can_meet_are_taken() -> None:
    wanted = {"course": [301], "status_to": ["Enroll"], "first_occurrence": True}

    assert refusals(subscription("enrollment.*", filters=wanted, condition={"data.grade": {"gte": 50}})) == {}


def test_filters_and_conditions_that_no_event_can_meet_are_refused_each_with_its_words() -> None:
    problems = refusals(subscription("user.*", filters={"course": [301]}, condition={"data.grade": 5}))

    assert problems == {
        "filters": [
            "course: not available for user.*. Events with this filter: class.*, class_feedback.*, course_feedback.*, "
            "course_assignment.*, enrollment.*, voucher.*."
        ],
        "condition": ["data.grade: not a field of user.*. Subscribe to events with this field: enrollment.*."],
    }


@pytest.mark.parametrize("wrong", [[], "course", 7, ["course"]])
def test_filters_and_conditions_are_objects(wrong: Any) -> None:
    assert list(refusals(subscription("class.*", filters=wrong))) == ["filters"]
    assert list(refusals(subscription("class.*", condition=wrong))) == ["condition"]


def test_of_an_unknown_event_only_the_event_is_refused() -> None:
    assert list(refusals(subscription("clas.*", filters={"x": 1}, condition={"x": 1}))) == ["event_type"]


def test_child_organizations_are_included_where_the_host_has_named_its_tree(settings) -> None:
    assert refusals(webhook(include_children=True)) == {}
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ORGANIZATION_PARENT": ""}

    assert refusals(webhook(include_children=True)) == {
        "include_children": ["Child organizations are not available in this installation. Leave this off."]
    }


def test_an_audience_is_one_of_three() -> None:
    assert list(refusals(webhook(audience="everybody"))) == ["audience"]


def test_all_that_does_not_fit_together_is_refused_at_once() -> None:
    found = refusals(
        webhook(
            integration_kind="api",
            headers="Content-Type=text/xml\nAuthorization=x",
            authentication="basic",
            credentials='{"username": "u", "password": "p"}',
            pull_only=True,
            max_in_flight=1_000_000,
        )
    )

    assert sorted(found) == ["headers", "integration_id", "max_in_flight", "url"]
    # The content type, which is of custom content alone, and the header that the password fills.
    assert len(found["headers"]) == 2
