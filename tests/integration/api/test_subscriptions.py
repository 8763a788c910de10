"""What a webhook subscribes to, one by one."""

from __future__ import annotations

import pytest

from tests.factories import WebhookFactory
from tms_webhooks.api.serializers.webhooks import MAX_SUBSCRIPTIONS
from tms_webhooks.models import AuditEntry, Subscription, Webhook

pytestmark = pytest.mark.django_db


@pytest.fixture
def webhook(acme) -> Webhook:
    return WebhookFactory(organization=acme, events=["course_assignment.expiring"])


@pytest.fixture
def address(webhook) -> str:
    return f"/api/webhooks/{webhook.pk}/subscriptions/"


def one(address: str) -> str:
    return f"{address}{Subscription.objects.order_by('pk').first().pk}/"


def test_a_subscription_is_added_with_what_narrows_it(client, webhook, address):
    body = {"event_type": "class.cancelled", "filters": {"class": [12]}, "condition": {"data.max_students": {"gte": 5}}}

    response = client.post(address, body, format="json")

    assert response.status_code == 201, response.content
    added = webhook.subscriptions.get(event_type="class.cancelled")
    assert (added.filters, added.condition) == (body["filters"], body["condition"])
    unset = {"more_than_days": None, "less_than_days": None, "quiet_seconds": 0, "quiet_longest_seconds": None}
    assert response.json() == {"id": str(added.pk), **unset, **body}
    assert response["Location"] == f"http://testserver{address}{added.pk}/"
    assert response["ETag"] == client.get(f"/api/webhooks/{webhook.pk}/")["ETag"]


def test_they_are_listed_in_the_order_in_which_they_were_added(client, webhook, address):
    client.post(address, {"event_type": "class.*"}, format="json")

    rows = client.get(address).json()["results"]

    assert [row["event_type"] for row in rows] == ["course_assignment.expiring", "class.*"]


def test_a_change_leaves_alone_what_it_does_not_name(client, webhook, address):
    webhook.subscriptions.update(more_than_days=1, less_than_days=10)

    response = client.patch(one(address), {"less_than_days": 20}, format="json")

    assert response.status_code == 200, response.content
    subscription = webhook.subscriptions.get()
    assert (subscription.more_than_days, subscription.less_than_days) == (1, 20)


def test_a_change_is_checked_together_with_what_is_there(client, webhook, address, problem):
    webhook.subscriptions.update(more_than_days=5, less_than_days=10)

    (error,) = problem(client.patch(one(address), {"less_than_days": 3}, format="json"), "invalid-request")["errors"]

    assert error["pointer"] == "#/more_than_days"
    assert webhook.subscriptions.get().less_than_days == 10


def test_the_last_one_can_be_removed(client, webhook, address):
    response = client.delete(one(address))

    assert (response.status_code, webhook.subscriptions.count()) == (204, 0)


def test_each_change_is_written_down(client, address):
    client.post(address, {"event_type": "class.*"}, format="json")
    client.patch(one(address), {"less_than_days": 9}, format="json")
    client.delete(one(address))

    entries = AuditEntry.objects.order_by("pk").values_list("action", "changes")
    assert [action for action, _changes in entries] == [
        "subscription.created",
        "subscription.updated",
        "subscription.deleted",
    ]
    assert entries[1][1] == {"less_than_days": {"from": None, "to": 9.0}}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/event_type"),
        ({"event_type": "class.cancled"}, "#/event_type"),
        ({"event_type": ""}, "#/event_type"),
        ({"event_type": 5}, "#/event_type"),
        ({"event_type": "class.cancelled", "less_than_days": 5}, "#/less_than_days"),
        ({"event_type": "class.*", "filters": []}, "#/filters"),
        ({"event_type": "class.*", "condition": "x"}, "#/condition"),
        ({"event_type": "class.*", "event": "class.*"}, "#/event"),
        ({"event_type": "class.*", "id": "5"}, "#/id"),
    ],
)
def test_what_means_nothing_is_refused(client, webhook, address, problem, body, pointer):
    errors = problem(client.post(address, body, format="json"), "invalid-request")["errors"]

    assert [error["pointer"] for error in errors] == [pointer]
    assert webhook.subscriptions.count() == 1


def test_an_event_that_the_content_does_not_fit_is_refused(client, webhook, address, problem):
    Webhook.objects.update(format="custom", content="{data.course.name}")

    response = client.patch(one(address), {"event_type": "user.updated"}, format="json")

    (error,) = problem(response, "invalid-request")["errors"]
    assert error["pointer"] == "#/event_type"
    assert "data.course.name" in error["detail"]
    assert webhook.subscriptions.get().event_type == "course_assignment.expiring"


def test_there_is_an_end_to_how_many_there_can_be(client, webhook, address, problem):
    Subscription.objects.bulk_create(
        Subscription(webhook=webhook, event_type="class.*") for _ in range(MAX_SUBSCRIPTIONS - 1)
    )

    problem(client.post(address, {"event_type": "class.*"}, format="json"), "conflict")

    assert webhook.subscriptions.count() == MAX_SUBSCRIPTIONS


def test_those_of_a_webhook_that_is_not_there_are_not_there(client, webhook, address, problem):
    Webhook.objects.update(deleted_at="2026-11-24T00:00:00Z")

    problem(client.get(address), "not-found")
    problem(client.get(one(address)), "not-found")


def test_in_a_change_of_the_webhook_they_are_refused_with_a_remedy(client, webhook, problem):
    response = client.patch(f"/api/webhooks/{webhook.pk}/", {"subscriptions": []}, format="json")

    (error,) = problem(response, "invalid-request")["errors"]
    assert error["detail"] == "This field is read-only here; change them at subscriptions/ of the webhook."
