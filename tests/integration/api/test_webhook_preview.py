"""A preview over the API: the request that a webhook would get for an event, a sample or a real one. Nothing is sent."""

import json

import pytest

from example_project.training.factories import TrainingClassFactory
from tests.factories import WebhookFactory
from tests.integration.api.people import at
from tms_webhooks.catalogue import registry
from tms_webhooks.net.urls import MASK


@pytest.fixture
def webhook(acme, receiver):
    return WebhookFactory(organization=acme, url=receiver.url, headers="X-Key=s3cret", events=["class.*"])


@pytest.fixture
def training_class(acme):
    return TrainingClassFactory(organization=acme, name="Linux")


@pytest.fixture
def preview(client, webhook):
    def preview(body=None, *, by=client, **headers):
        return by.post(at(webhook, "preview"), body or {}, headers=headers)

    return preview


def of(training_class, **values):
    return {"event_type": "class.updated", "subject": f"class:{training_class.pk}", **values}


def test_it_is_the_signed_request_with_its_secrets_masked(receiver, webhook, preview):
    data = preview({"event_type": "class.cancelled"}).json()

    body = json.loads(data["body"])
    assert (data["method"], data["url"], data["problem"]) == ("POST", receiver.url, "")
    assert (data["event_type"], body["type"]) == ("class.cancelled", "class.cancelled")
    assert body["organization"]["id"] == webhook.organization_id
    assert data["headers"]["X-Key"] == data["headers"]["webhook-signature"] == MASK
    assert data["headers"]["webhook-id"] == body["id"]
    assert (data["headers"]["content-type"], data["headers"]["tms-attempt"]) == ("application/json", "1")
    assert "s3cret" not in str(data)
    assert receiver.received == []
    # Without a choice it is the first event that the webhook subscribes to.
    assert preview().json()["event_type"] == registry.expand("class.*")[0].name


@pytest.mark.parametrize(
    "name, content_type, key",
    [
        ("standard", "application/json", "data"),
        ("skillable", "application/json", "EventId"),
        ("cloudevents", "application/cloudevents+json", "specversion"),
        ("cloudevents_binary", "application/json", "data"),
    ],
)
def test_any_format_can_be_tried(preview, training_class, webhook, name, content_type, key):
    data = preview(of(training_class, format=name)).json()

    assert data["headers"]["content-type"] == content_type
    assert key in json.loads(data["body"])
    assert "Linux" in data["body"]
    webhook.refresh_from_db()
    assert webhook.format == "standard"


def test_an_object_of_another_organization_is_not_found(preview, problem):
    details = problem(preview(of(TrainingClassFactory())), "not-found")

    assert details == problem(preview(of(TrainingClassFactory.build(pk=987654321))), "not-found")


def test_a_real_object_takes_the_right_to_see_payloads_and_a_sample_does_not(
    preview, restricted, training_class, problem
):
    blind = restricted("view_payload")

    problem(preview(of(training_class), by=blind), "forbidden")

    assert preview({"event_type": "class.updated"}, by=blind).status_code == 200
