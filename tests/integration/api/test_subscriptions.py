"""What a webhook subscribes to, one by one."""

import pytest

from example_project.training.factories import TrainingClassFactory
from tests.factories import WebhookFactory
from tests.integration.api.people import LIST, at, codes_of, errors_of
from tms_webhooks.models import Subscription, Webhook

UNKNOWN_IDS = [
    "The filter course has ids that no object of the organization has: 999, a b. Check them.",
    "The filter organization has ids that no object of the organization has: 987654. Check them.",
]


def test_a_webhook_warns_of_ids_in_its_filters_that_no_object_of_the_organization_has(client, create, acme):
    course = TrainingClassFactory(organization=acme).course_id
    filters = {"course": [course, 999, "a b"], "organization": [acme.pk, 987654]}

    response = create(subscriptions=[{"event_type": "class.updated", "filters": filters}])

    assert (response.status_code, response.json()["warnings"]) == (201, UNKNOWN_IDS)
    address = f"{LIST}{response.json()['id']}/"
    assert client.get(address).json()["warnings"] == UNKNOWN_IDS
    assert client.patch(address, {"name": "HR"}).json()["warnings"] == UNKNOWN_IDS
    (listed,) = client.get(LIST).json()["results"]
    assert listed["warnings"] == []


@pytest.fixture
def webhook(acme):
    return WebhookFactory(organization=acme, events=["course_assignment.expiring"])


@pytest.fixture
def address(webhook):
    return at(webhook, "subscriptions")


@pytest.fixture
def change_it(client, webhook):
    """Change these fields of the webhook's subscription."""
    return lambda **fields: client.patch(at(webhook, "subscriptions", webhook.subscriptions.get().public_id), fields)


def test_a_subscription_is_added_with_what_narrows_it(client, webhook, address):
    body = {"event_type": "class.cancelled", "filters": {"class": [12]}, "condition": {"data.max_students": {"gte": 5}}}

    response = client.post(address, body)

    assert response.status_code == 201, response.content
    added = webhook.subscriptions.get(event_type="class.cancelled")
    assert (added.filters, added.condition) == (body["filters"], body["condition"])
    days = {"more_than_days": None, "less_than_days": None}
    quiet = {"quiet_seconds": 0, "quiet_longest_seconds": None}
    assert response.json() == {"id": added.public_id, **days, **quiet, **body}
    assert response["Location"] == f"http://testserver{address}{added.public_id}/"
    assert response["ETag"] == client.get(at(webhook))["ETag"]


def test_a_subscription_gets_a_window_of_its_own(webhook, change_it):
    response = change_it(less_than_days=7)

    assert (response.json()["more_than_days"], response.json()["less_than_days"]) == (None, 7)
    assert webhook.subscriptions.get().window == (0, 7)


@pytest.mark.parametrize(
    "days, pointer, detail",
    [
        ({"less_than_days": "7"}, "less_than_days", "Expected a number, got a string."),
        (
            {"more_than_days": 7},
            "less_than_days",
            "Less than days is empty; give the upper end of the window, above 7.",
        ),
    ],
)
def test_a_window_that_is_none_is_refused_with_its_value_and_a_remedy(change_it, days, pointer, detail):
    assert errors_of(change_it(**days)) == {f"#/{pointer}": detail}


@pytest.mark.parametrize(
    "body, pointer",
    [
        ({}, "#/event_type"),
        ({"event_type": "class.cancled"}, "#/event_type"),
        ({"event_type": "class.*", "filters": []}, "#/filters"),
        ({"event_type": "class.*", "id": "5"}, "#/id"),
    ],
)
def test_what_means_nothing_is_refused(client, webhook, address, body, pointer):
    assert list(codes_of(client.post(address, body))) == [pointer]
    assert webhook.subscriptions.count() == 1


def test_an_event_that_the_content_does_not_fit_is_refused(webhook, change_it):
    Webhook.objects.update(format="custom", content="{data.course.name}")

    (item,) = errors_of(change_it(event_type="user.updated")).items()

    assert item[0] == "#/event_type"
    assert "data.course.name" in item[1]
    assert webhook.subscriptions.get().event_type == "course_assignment.expiring"


def test_those_of_a_webhook_that_is_not_there_are_not_there(client, webhook, address, problem):
    Webhook.objects.update(deleted_at="2026-11-24T00:00:00Z")

    problem(client.get(address), "not-found")
    problem(client.get(f"{address}{Subscription.objects.get().public_id}/"), "not-found")
