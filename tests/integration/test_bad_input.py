"""What a person types wrongly is refused when it is saved, with the field, the value and the remedy."""

import math

import pytest
from django.core.exceptions import ValidationError

from example_project.training.factories import OrganizationFactory
from tests.catalogue import temporary_type
from tests.factories import WebhookFactory
from tms_webhooks.catalogue import EventType, Field, FieldKind, Noun
from tms_webhooks.choices import FieldPrivacy
from tms_webhooks.models import Subscription, Webhook

EXPIRING = "course_assignment.expiring"
EXAM = EventType(
    "exam.passed",
    Noun("exam", "Exam", (Field("id", FieldKind.ID, FieldPrivacy.ID, required=True),)),
    "An exam was passed.",
    sample={"id": 1},
)


def refusals(record):
    """Return what is wrong with a record, by field; nothing where all is well."""
    try:
        record.full_clean()
    except ValidationError as error:
        return error.message_dict
    return {}


def subscription(event_type, **values):
    return Subscription(webhook=WebhookFactory(), event_type=event_type, **values)


def webhook(**typed):
    return Webhook(
        organization=OrganizationFactory(), name="HR", **{"url": "https://receiver.example.com/hook", **typed}
    )


NO_DATE = "does not depend on a date; leave both days empty."
NO_DAYS = "is not a number of days from 0 to 36,500."
OF_OTHERS = (
    "course: not available for user.*. Events with this filter: class.*, class_feedback.*, course_feedback.*, "
    "feedback.*, course_assignment.*, enrollment.*, voucher.*, course.*."
)


@pytest.mark.parametrize(
    "event_type, values, expected",
    [
        *((name, {}, {}) for name in ("class.cancelled", "class_feedback.*", "*", "webhook.failing")),
        *(
            (name, {}, {"event_type": f'Unknown event: {name}. Did you mean "{nearest}"'})
            for name, nearest in (
                ("class.canceled", "class.cancelled"),
                ("clas.*", "class.*"),
                ("enrolment.waitlisted", "enrollment.waitlisted"),
                ("Class.Cancelled", "class.cancelled"),
            )
        ),
        (
            "zzz",
            {},
            {"event_type": "Unknown event: zzz. Choose an existing one, all events of a noun as class.*, or *."},
        ),
        ("", {}, {"event_type": "This field cannot be blank."}),
        # Windows
        *((name, {"more_than_days": 2, "less_than_days": 7}, {}) for name in ("voucher.expiring", "voucher.*", "*")),
        *(
            (name, {"less_than_days": 7}, {"less_than_days": NO_DATE})
            for name in ("class.*", "course_assignment.expired")
        ),
        (
            EXPIRING,
            {"more_than_days": 30, "less_than_days": 7},
            {"more_than_days": "More than days is 30, and less than days is 7; the first has to be the smaller one."},
        ),
        *((EXPIRING, {"less_than_days": days}, {"less_than_days": f"{days} {NO_DAYS}"}) for days in (math.nan, 36_501)),
        *(
            (EXPIRING, {"more_than_days": days, "less_than_days": 7}, {"more_than_days": f"{days} {NO_DAYS}"})
            for days in (math.nan, -math.inf, -0.5)
        ),
        # Filters and conditions
        *(("*", nothing, {}) for nothing in ({"filters": {}}, {"condition": None}, {"condition": {}})),
        ("enrollment.*", {"filters": {"course": [301]}, "condition": {"data.grade": {"gte": 50}}}, {}),
        (
            "user.*",
            {"filters": {"course": [301]}, "condition": {"data.grade": 5}},
            {
                "filters": OF_OTHERS,
                "condition": "data.grade: not a field of user.*. Subscribe to events with this field: enrollment.*.",
            },
        ),
        *(
            ("class.*", {"filters": wrong, "condition": wrong}, {"filters": "", "condition": ""})
            for wrong in ([], "course", 7)
        ),
        ("clas.*", {"filters": {"x": 1}, "condition": {"x": 1}}, {"event_type": "Unknown event: clas.*."}),
    ],
)
def test_a_subscription_that_means_nothing_is_refused_with_the_field_the_value_and_the_remedy(
    event_type, values, expected
):
    problems = refusals(subscription(event_type, **values))

    assert {name: len(messages) for name, messages in problems.items()} == dict.fromkeys(expected, 1)
    for name, text in expected.items():
        assert text in problems[name][0]


def test_an_event_of_the_hosts_own_is_taken_while_it_is_registered():
    own = subscription("exam.passed")
    assert "event_type" in refusals(own)
    with temporary_type(EXAM):
        assert refusals(own) == {}
        assert refusals(subscription("exam.*")) == {}
    assert "event_type" in refusals(own)


@pytest.mark.parametrize(
    "typed, expected",
    [
        ({"headers": "X-Team=HR"}, {}),
        (
            {"headers": "X-Team=HR\nAuthorization: Bearer abc"},
            {"headers": ["Line 2: The “=” is missing. Write name=value, or remove the line."]},
        ),
        (
            {"url": "ftp://receiver.example.com/"},
            {"url": ["URL: the scheme 'ftp' is not HTTP; begin with 'https://'."]},
        ),
        ({"audience": "learners"}, {"audience": ["Value 'learners' is not a valid choice."]}),
        ({"include_children": True}, {}),
    ],
)
def test_a_webhook_that_makes_no_sense_is_refused(typed, expected):
    assert refusals(webhook(**typed)) == expected


def test_child_organizations_are_included_where_the_host_has_named_its_tree(settings_of_app):
    settings_of_app(ORGANIZATION_PARENT="")

    assert refusals(webhook(include_children=True)) == {
        "include_children": ["Child organizations are not available in this installation. Leave this off."]
    }


def test_all_that_does_not_fit_together_is_refused_at_once():
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
