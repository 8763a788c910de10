"""Each format, from a change of a row to a receiver that verifies the signature with the public library."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from standardwebhooks import Webhook as Verifier

from example_project.training.factories import ClassEnrollmentFactory, TrainingClassFactory
from tests.factories import WebhookFactory
from tms_webhooks.choices import DeliveryStatus, PayloadDetail, PayloadFormat
from tms_webhooks.models import Delivery, DeliveryBody, Event
from tms_webhooks.models.encryption import reveal


@pytest.fixture
def told(receiver, drain):
    """Cancel a class, and return what a webhook with these fields was sent."""

    def told(*, path="", **fields):
        training_class = TrainingClassFactory()
        webhook = WebhookFactory(
            organization=training_class.organization, url=receiver.url + path, events=["class.*"], **fields
        )
        training_class.cancel()
        drain()
        (request,) = receiver.received
        assert Delivery.objects.get().status == DeliveryStatus.DELIVERED
        verify(request, reveal(webhook.secrets.get().value))
        return request

    return told


def verify(request, secret):
    """Have the public library verify the signature; of a body that is no JSON it can only say what it would sign."""
    assert request.headers["webhook-id"] == Event.objects.get().public_id
    if request.headers["content-type"].endswith("json"):
        request.verify(secret)
        return
    at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), tz=UTC)
    signature = Verifier(secret).sign(request.headers["webhook-id"], at, request.body.decode())
    assert signature == request.headers["webhook-signature"]


def test_standard_is_the_body_of_the_event_to_the_byte_and_no_copy_is_kept(told):
    request = told()

    assert request.headers["content-type"] == "application/json"
    assert request.body == Event.objects.get().body.encode()
    assert not DeliveryBody.objects.exists()


def test_skillable(told):
    request = told(format=PayloadFormat.SKILLABLE)

    event = Event.objects.get()
    stored = json.loads(event.body)
    assert request.headers["content-type"] == "application/json"
    assert request.event["EventId"] == event.public_id
    assert (request.event["EventType"], request.event["ConfirmationStatusId"]) == ("class.cancelled", 2)
    assert request.event["EventTimestamp"] == int(event.occurred_at.timestamp())
    assert request.event["CourseId"] == stored["data"]["course"]["id"]


def test_cloudevents(told):
    request = told(format=PayloadFormat.CLOUDEVENTS)

    assert request.headers["content-type"] == "application/cloudevents+json"
    assert request.event["specversion"] == "1.0"
    assert request.event["data"] == json.loads(Event.objects.get().body)


def test_custom_json(told):
    request = told(
        format=PayloadFormat.CUSTOM, content='{"text": "{data.name}: {data.status.name}", "e": {data.status}}'
    )

    name = json.loads(Event.objects.get().body)["data"]["name"]
    assert request.headers["content-type"] == "application/json"
    assert request.event == {"text": f"{name}: Cancelled", "e": {"code": 2, "name": "Cancelled"}}


def test_a_custom_form_has_the_content_type_among_the_headers(told):
    request = told(
        format=PayloadFormat.CUSTOM,
        content="status={ConfirmationStatusId}&name={Name}",
        headers="Content-Type=application/x-www-form-urlencoded\nX-Key=1",
    )

    name = json.loads(Event.objects.get().body)["data"]["name"]
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert request.headers["x-key"] == "1"
    assert parse_qs(request.body.decode()) == {"status": ["2"], "name": [name]}


def test_a_custom_text_says_that_it_is_in_utf_8(told):
    request = told(format=PayloadFormat.CUSTOM, content="Zoë: {type}")

    assert request.headers["content-type"] == "text/plain; charset=utf-8"
    assert request.body == "Zoë: class.cancelled".encode()


def test_a_custom_get_without_content_has_its_facts_in_the_url(told):
    request = told(format=PayloadFormat.CUSTOM, verb="GET", path="/{data.id}?type={type}&who={data.course.name}")

    data = json.loads(Event.objects.get().body)["data"]
    assert (request.method, request.body) == ("GET", b"")
    assert urlsplit(request.path).path == f"/hook/{data['id']}"
    assert parse_qs(urlsplit(request.path).query) == {"type": ["class.cancelled"], "who": [data["course"]["name"]]}


@pytest.mark.parametrize("detail", [PayloadDetail.NO_PERSONAL, PayloadDetail.THIN])
@pytest.mark.parametrize("format_", [PayloadFormat.STANDARD, PayloadFormat.SKILLABLE, PayloadFormat.CLOUDEVENTS])
def test_nobody_is_named_to_a_webhook_that_is_told_nothing_personal(receiver, drain, format_, detail):
    enrollment = ClassEnrollmentFactory(
        user__first_name="Alice", user__last_name="Larsen", user__email="al@example.com"
    )
    organization = enrollment.training_class.organization
    WebhookFactory(organization=organization, url=receiver.url, events=["*"], format=format_, payload=detail)

    enrollment.cancel()
    drain()

    (request,) = receiver.received
    assert "Larsen" in Event.objects.get().body
    for value in (b"Alice", b"Larsen", b"al@example.com"):
        assert value not in request.body
