"""Webhooks over the API: made whole in one call, changed field by field, deleted without their log."""

from tests.factories import WebhookFactory
from tests.integration.api.people import URL, at, codes_of
from tms_webhooks.models import Webhook
from tms_webhooks.models.encryption import reveal


def test_a_webhook_is_made_with_its_subscriptions_in_one_call(create, acme):
    response = create(
        headers={"Authorization": "Basic hunter2", "X-Key": "1"},
        contacts=["ops@example.com", "boss@example.com"],
        schedule=[5, 60],
        subscriptions=[
            {"event_type": "class.cancelled"},
            {"event_type": "course_assignment.expiring", "more_than_days": 3, "less_than_days": 14},
        ],
    )

    assert response.status_code == 201, response.content
    webhook = Webhook.objects.get()
    assert response["Location"] == f"http://testserver/api/webhooks/{webhook.public_id}/"
    assert (webhook.organization, webhook.name, webhook.schedule) == (acme, "CRM", [5, 60])
    assert reveal(webhook.headers) == "Authorization=Basic hunter2\nX-Key=1"
    assert webhook.contacts == "ops@example.com\nboss@example.com"
    assert list(webhook.subscriptions.values_list("event_type", "less_than_days")) == [
        ("class.cancelled", None),
        ("course_assignment.expiring", 14.0),
    ]


def test_the_answer_has_the_secret_and_no_other_one_has(client, create, change, clock):
    response = create()

    webhook = Webhook.objects.get()
    assert [response.json()["secret"]] == webhook.signing_secrets(clock())
    assert "secret" not in client.get(at(webhook)).json()
    assert b"whsec_" not in client.get("/api/webhooks/").content
    assert b"whsec_" not in change(webhook, name="HR").content


def test_a_webhook_is_shown_with_all_that_is_set_and_how_it_fares(client, acme):
    webhook = WebhookFactory(organization=acme, name="CRM", headers="X-Key=s3cret", events=["class.*"])

    data = client.get(at(webhook)).json()

    subscription = webhook.subscriptions.get()
    assert data == {
        "id": webhook.public_id,
        "organization": acme.pk,
        "name": "CRM",
        "pull_only": False,
        "url": URL,
        "verb": "POST",
        "headers": {"X-Key": "••••"},
        "authentication": {"kind": "none"},
        "body_signature_header": "",
        "body_signature_prefix": True,
        "format": "standard",
        "payload": "full",
        "content": "",
        "contents": {},
        "audience": "owner",
        "include_children": False,
        "skip_own": False,
        "integration_kind": "",
        "integration_id": "",
        "delay_seconds": 0,
        "timeout_seconds": 20,
        "max_retries": None,
        "schedule": "",
        "max_in_flight": None,
        "ordered": False,
        "rate_limit_per_second": None,
        "error_action": "log",
        "contacts": [],
        "subscriptions": [
            {
                "id": subscription.public_id,
                "event_type": "class.*",
                "more_than_days": None,
                "less_than_days": None,
                "quiet_seconds": 0,
                "quiet_longest_seconds": None,
                "filters": {},
                "condition": None,
            }
        ],
        "enabled": True,
        "state": "enabled",
        "health": "idle",
        "warnings": [],
        "disabled_reason": "",
        "disabled_at": None,
        "failures": 0,
        "failing_since": None,
        "succeeded_at": None,
        "paused_until": None,
        "held_until": None,
        "hold_reason": "",
        "created_at": data["created_at"],
        "updated_at": data["updated_at"],
    }
    assert data["created_at"].endswith("Z")


def test_a_change_leaves_alone_what_it_does_not_name(client, acme):
    webhook = WebhookFactory(organization=acme, headers="X-Key=s3cret", timeout_seconds=7, events=["class.*"])

    response = client.patch(at(webhook), {"name": "HR"})

    assert (response.status_code, response.json()["name"]) == (200, "HR")
    webhook.refresh_from_db()
    assert (webhook.name, webhook.timeout_seconds, reveal(webhook.headers)) == ("HR", 7, "X-Key=s3cret")
    assert webhook.subscriptions.count() == 1


def test_headers_are_replaced_and_the_mask_keeps_a_value(client, acme):
    webhook = WebhookFactory(organization=acme, headers="A=1\nB=2\nC=3")

    response = client.patch(at(webhook), {"headers": {"A": "••••", "C": "5", "D": "4=4"}})

    assert response.json()["headers"] == {"A": "••••", "C": "••••", "D": "••••"}
    webhook.refresh_from_db()
    assert reveal(webhook.headers) == "A=1\nC=5\nD=4=4"


def test_a_list_can_be_filtered(client, acme):
    for name, enabled in (("B", True), ("A", False), ("C", True)):
        WebhookFactory(organization=acme, name=name, enabled=enabled)

    def names(query):
        return [row["name"] for row in client.get(f"/api/webhooks/{query}").json()["results"]]

    assert names("") == ["C", "A", "B"]
    assert names("?enabled=true") == ["C", "B"]
    assert names("?name=b") == ["B"]
    assert names(f"?organization={acme.pk}") == ["C", "A", "B"]


def test_a_header_value_does_not_go_unasked_where_the_url_leads_now(change, acme):
    webhook = WebhookFactory(organization=acme, url=URL, headers="Authorization=Basic hunter2\nX-Key=1")
    url = "https://other.example.com/hook"

    for fields in ({}, {"headers": {"Authorization": "••••", "X-Key": "2"}}):
        response = change(webhook, url=url, **fields)
        assert codes_of(response)["#/headers/Authorization"] == "new_receiver"
        assert b"hunter2" not in response.content
    assert change(webhook, url=f"{URL}/v2").status_code == 200
    webhook.refresh_from_db()
    assert (webhook.url, reveal(webhook.headers)) == (f"{URL}/v2", "Authorization=Basic hunter2\nX-Key=1")

    headers = {"Authorization": "Basic hunter2"}
    assert change(webhook, url=url, headers=headers).status_code == 200
    webhook.refresh_from_db()
    assert (webhook.url, reveal(webhook.headers)) == (url, "Authorization=Basic hunter2")
