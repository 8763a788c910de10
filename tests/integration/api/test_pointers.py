"""An error names the very part of a filter or condition, and what to write there; no answer names the operator's settings."""

import pytest

from tests import messages
from tests.factories import WebhookFactory
from tests.integration.api.people import at, body_of
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
    "values, pointer, detail",
    [
        ({"filters": {"cours": [1]}}, "/filters/cours", 'Unknown filter: cours. Did you mean "course"?'),
        ({"filters": {"course": [301, None]}}, "/filters/course/1", "course: null is not an id"),
        ({"condition": {"data.garde": 1}}, "/condition/data.garde", "data.garde is not a field"),
        (
            {"condition": {"all": [{"data.grade": 1}, {"not": {"data.grade": {"in": [1]}}}]}},
            "/condition/all/1/not/data.grade/in",
            "data.grade: unknown comparison in. Use gt, gte, lt, lte, exists, or list the accepted values.",
        ),
        ({"condition": {"any": [{"data.a/b~": 1}]}}, "/condition/any/0/data.a~1b~0", "data.a/b~ is not a field"),
    ],
)
def test_an_error_in_filters_or_a_condition_has_the_pointer_of_its_part(refused, client, acme, values, pointer, detail):
    subscriptions = [{"event_type": "user.*"}, {"event_type": "enrollment.*", **values}]

    errors = refused(subscriptions=subscriptions)

    assert list(errors) == [f"#/subscriptions/1{pointer}"]
    assert errors[f"#/subscriptions/1{pointer}"].startswith(detail)


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


def test_no_message_names_a_setting_of_the_operator():
    names = [name for name in vars(AppSettings) if name.isupper()]

    texts = [text for text, _context, _plural in messages.messages()]

    assert [text for text in texts if "TMS_WEBHOOKS" in text or "%(setting)s" in text] == []
    assert [text for text in texts if any(name in text for name in names)] == []


def test_a_wrong_parameter_is_in_the_detail_of_the_whole_too(client, problem):
    page_size = problem(client.get("/api/deliveries/?page_size=0"), "invalid-request")
    two = problem(client.get("/api/deliveries/?event=acme&created_after=soon"), "invalid-request")

    assert page_size["detail"] == "page_size: Use a whole number from 1 to 100."
    assert two["detail"].startswith("event: Use an event id")
    assert two["detail"].endswith(" And 1 more.")


def test_each_invalid_parameter_of_a_list_is_reported(client, problem):
    data = problem(client.get("/api/deliveries/?status=x&subject=nope:1&created_after=soon"), "invalid-request")

    found = {one["parameter"]: one["code"] for one in data["errors"]}
    assert found.keys() == {"status", "subject", "created_after"}
    assert (found["status"], found["subject"]) == ("invalid_choice", "invalid")
