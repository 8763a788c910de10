"""An error names the very part of a filter or condition, and what to write there; no answer names the operator's settings."""

from __future__ import annotations

import pytest

from tests import messages
from tests.factories import WebhookFactory
from tests.integration.api.people import at, body_of, codes_of, errors_of
from tms_webhooks.conf import AppSettings
from tms_webhooks.models import Subscription, Webhook

DUPLICATE = (
    "Another subscription of the webhook has the same event and the same filters: class.*. Remove one, or change its "
    "filters."
)


@pytest.fixture
def refused(client, acme, problem):
    """Try to create a webhook with these fields; return the details of the errors by pointer."""

    def refused(**fields):
        data = problem(client.post("/api/webhooks/", body_of(acme, **fields)), "invalid-request")
        assert not Webhook.objects.exists()
        return {error["pointer"]: error["detail"] for error in data["errors"]}

    return refused


@pytest.mark.parametrize(
    ("values", "pointer", "detail"),
    [
        ({"filters": {"cours": [1]}}, "/filters/cours", 'Unknown filter: cours. Did you mean "course"?'),
        ({"filters": {"course": [301, None]}}, "/filters/course/1", "course: null is not an id"),
        ({"filters": {"status_to": ["Cancelled"]}}, "/filters/status_to/0", 'status_to: unknown value "Cancelled"'),
        ({"filters": {"first_occurrence": 1}}, "/filters/first_occurrence", "first_occurrence takes true or false."),
        ({"filters": []}, "/filters", "Filters are an object of lists"),
        ({"condition": {}}, None, ""),
        ({"condition": {"data.garde": 1}}, "/condition/data.garde", "data.garde is not a field"),
        ({"condition": {"data.grade": ["x", 1]}}, "/condition/data.grade/0", 'data.grade: "x" is not allowed'),
        (
            {"condition": {"all": [{"data.grade": 1}, {"not": {"data.grade": {"in": [1]}}}]}},
            "/condition/all/1/not/data.grade/in",
            "data.grade: unknown comparison in. Use gt, gte, lt, lte, exists, or list the accepted values.",
        ),
        ({"condition": {"any": [{"data.a/b~": 1}]}}, "/condition/any/0/data.a~1b~0", "data.a/b~ is not a field"),
        ({"condition": {"data.grade": {"gte": None}}}, "/condition/data.grade/gte", "data.grade: null is not a bound"),
    ],
)
def test_an_error_in_filters_or_a_condition_has_the_pointer_of_its_part(refused, client, acme, values, pointer, detail):
    subscriptions = [{"event_type": "user.*"}, {"event_type": "enrollment.*", **values}]
    if pointer is None:
        response = client.post("/api/webhooks/", body_of(acme, subscriptions=subscriptions))
        assert response.status_code == 201
        return

    errors = refused(subscriptions=subscriptions)

    assert list(errors) == [f"#/subscriptions/1{pointer}"]
    assert errors[f"#/subscriptions/1{pointer}"].startswith(detail)


def test_an_error_of_one_subscription_has_its_pointer_too(client, acme, problem):
    webhook = WebhookFactory(organization=acme)
    body = {"event_type": "enrollment.*", "condition": {"all": [{"data.grade": {"above": 5}}]}}

    assert list(codes_of(client.post(at(webhook, "subscriptions"), body))) == ["#/condition/all/0/data.grade/above"]


def test_a_new_webhook_has_no_subscription_twice(refused):
    rows = [
        {"event_type": "class.*", "filters": {"course": [1, "2"]}},
        {"event_type": "class.*", "filters": {"course": ["2", 1]}, "condition": {}},
        {"event_type": "class.*", "filters": {"course": [1]}},
    ]

    assert refused(subscriptions=rows) == {"#/subscriptions/1": DUPLICATE}


def test_a_subscription_that_is_there_is_not_added_and_no_other_becomes_like_it(client, acme, problem):
    webhook = WebhookFactory(organization=acme, events=[])
    first = Subscription.objects.create(webhook=webhook, event_type="class.*")
    other = Subscription.objects.create(webhook=webhook, event_type="user.*")
    address = at(webhook, "subscriptions")

    added = problem(client.post(address, {"event_type": "class.*"}), "invalid-request")
    changed = client.patch(f"{address}{other.public_id}/", {"event_type": "class.*"})
    unchanged = client.patch(f"{address}{first.public_id}/", {"event_type": "class.*"})

    assert added["errors"] == [{"pointer": "#", "code": "duplicate", "detail": DUPLICATE}]
    assert problem(changed, "invalid-request")["errors"] == added["errors"]
    assert unchanged.status_code == 200
    assert webhook.subscriptions.count() == 2


@pytest.mark.parametrize("name", ["HR\nsystem", "HR\x07", "HR\u2028system", "\tHR"])
def test_a_name_has_no_line_breaks_and_control_characters(refused, name):
    assert refused(name=name)["#/name"].startswith("The name contains a line break or another control character, U+")


def test_a_version_and_a_token_that_can_not_be_sent_are_refused(refused):
    assert "choose 1 to" in refused(payload_version=99)["#/payload_version"]
    assert refused(url="https://receiver.example.com/{foo")["#/url"].startswith("URL: a brace is not part of a token.")
    assert refused(format="custom", content='{"id": "{data.id"}') == {
        "#/content": "Content: the token {data.id has no closing brace. Write {data.id}."
    }


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("created_after=２０２６-01-01T00:00:00Z", "Not a valid time; write it as 2026-11-24T15:04:05Z."),
        ("organization=１", "Expected a whole number; use the id of one of your organizations."),
        ("organization=acme", "Expected a whole number; use the id of one of your organizations."),
    ],
)
def test_digits_of_other_scripts_are_no_numbers(client, problem, query, detail):
    assert errors_of(client.get(f"/api/deliveries/?{query}")) == {query.partition("=")[0]: detail}


def test_an_unknown_group_is_answered_with_a_similar_one(client, problem):
    (error,) = problem(client.get("/api/event-types/?group=clas"), "invalid-request")["errors"]

    assert error["detail"].endswith("Did you mean 'class'?")


def test_no_message_names_a_setting_of_the_operator():
    names = [name for name in vars(AppSettings) if name.isupper()]

    texts = [text for text, _context, _plural in messages.messages()]

    assert [text for text in texts if "TMS_WEBHOOKS" in text or "%(setting)s" in text] == []
    assert [text for text in texts if any(name in text for name in names)] == []


def test_a_wrong_parameter_is_in_the_detail_of_the_whole_too(client, problem):
    page_size = problem(client.get("/api/deliveries/?page_size=0"), "invalid-request")
    two = problem(client.get("/api/deliveries/?organization=acme&created_after=soon"), "invalid-request")

    assert page_size["detail"] == "The page size is invalid. page_size: Use a whole number from 1 to 100."
    assert two["detail"].startswith("A filter is invalid. ")
    assert two["detail"].endswith(" And 1 more.")


def test_a_time_whose_plus_sign_became_a_blank_is_refused_with_the_way_to_write_it(client, problem):
    (error,) = problem(client.get("/api/deliveries/?created_after=2026-11-27T00:00:00+02:00"), "invalid-request")[
        "errors"
    ]

    assert error["detail"] == ("Not a valid time; write it as 2026-11-24T15:04:05Z. In a URL, write %2B for +.")
