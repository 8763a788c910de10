"""Each format, from a change of a row to a receiver that verifies the signature with the public library."""

import json
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from standardwebhooks import Webhook as Verifier

from example_project.training.factories import ClassEnrollmentFactory, TrainingClassFactory
from tests.factories import WebhookFactory
from tms_webhooks.choices import PayloadDetail, PayloadFormat
from tms_webhooks.digests import digested
from tms_webhooks.models import Delivery, DeliveryBody, Event
from tms_webhooks.models.encryption import reveal


@pytest.fixture
def sent_request(receiver, drain):
    """Cancel a class, and return what a webhook with these fields was sent."""

    def sent_request(*, path="", **fields):
        training_class = TrainingClassFactory()
        webhook = WebhookFactory(
            organization=training_class.organization, url=receiver.url + path, events=["class.*"], **fields
        )
        training_class.cancel()
        drain()
        (request,) = receiver.received
        assert Delivery.objects.get().status == "delivered"
        verify(request, reveal(webhook.secrets.get().value))
        return request

    return sent_request


def verify(request, secret):
    """Have the public library verify the signature; of a body that is no JSON it can only say what it would sign."""
    assert request.headers["webhook-id"] == Event.objects.get().public_id
    if request.headers["content-type"].endswith("json"):
        request.verify(secret)
        return
    at = datetime.fromtimestamp(int(request.headers["webhook-timestamp"]), tz=UTC)
    signature = Verifier(secret).sign(request.headers["webhook-id"], at, request.body.decode())
    assert signature == request.headers["webhook-signature"]


CUSTOM = PayloadFormat.CUSTOM
FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize(
    "fields, content_type, read, expected",
    [
        ({}, "application/json", json.loads, lambda event: event),
        (
            {"format": PayloadFormat.SKILLABLE},
            "application/json",
            lambda body: {name: json.loads(body)[name] for name in ("EventId", "EventType", "ConfirmationStatusId")},
            lambda event: {"EventId": event["id"], "EventType": "class.cancelled", "ConfirmationStatusId": 2},
        ),
        (
            {"format": PayloadFormat.CLOUDEVENTS},
            "application/cloudevents+json",
            lambda body: json.loads(body)["data"],
            lambda event: event,
        ),
        (
            {"format": CUSTOM, "content": '{"text": "{data.name}!", "status": {data.status}}'},
            "application/json",
            json.loads,
            lambda event: {"text": f"{event['data']['name']}!", "status": {"code": 2, "name": "Cancelled"}},
        ),
        (
            {
                "format": CUSTOM,
                "content": "status={ConfirmationStatusId}&name={Name}",
                "headers": f"Content-Type={FORM}",
            },
            FORM,
            parse_qs,
            lambda event: {"status": ["2"], "name": [event["data"]["name"]]},
        ),
        (
            {"format": CUSTOM, "content": "Zoë: {type}"},
            "text/plain; charset=utf-8",
            str,
            lambda _event: "Zoë: class.cancelled",
        ),
    ],
)
def test_a_receiver_gets_the_event_in_the_format_of_its_webhook(sent_request, fields, content_type, read, expected):
    request = sent_request(**fields)

    event = Event.objects.get()
    assert request.headers["content-type"] == content_type
    whole = digested(event.body, PayloadDetail.FULL)
    assert read(request.body.decode()) == expected(json.loads(whole))
    # No copy is kept of what is the event's own body with its digest, to the byte.
    assert (request.body == whole.encode()) is not DeliveryBody.objects.exists()
    assert DeliveryBody.objects.exists() is bool(fields)


@pytest.mark.parametrize(
    "format_, headers", [(PayloadFormat.CLOUDEVENTS, ""), (PayloadFormat.CLOUDEVENTS_BINARY, "Ce-Id=own")]
)
def test_the_official_library_of_cloudevents_reads_the_request(sent_request, format_, headers):
    http = pytest.importorskip("cloudevents.core.bindings.http")

    request = sent_request(format=format_, headers=headers)

    event = http.from_http_event(http.HTTPMessage(request.headers, request.body))
    assert (event.get_id(), event.get_type()) == (request.headers["webhook-id"], "class.cancelled")
    assert event.get_data() == json.loads(digested(Event.objects.get().body, PayloadDetail.FULL))


def test_a_custom_get_without_content_has_its_facts_in_the_url(sent_request):
    request = sent_request(
        format=PayloadFormat.CUSTOM, verb="GET", path="/{data.id}?type={type}&who={data.course.name}"
    )

    data = json.loads(Event.objects.get().body)["data"]
    assert (request.method, request.body) == ("GET", b"")
    assert urlsplit(request.path).path == f"/hook/{data['id']}"
    assert parse_qs(urlsplit(request.path).query) == {"type": ["class.cancelled"], "who": [data["course"]["name"]]}


@pytest.mark.parametrize("detail", [PayloadDetail.NO_PERSONAL, PayloadDetail.THIN])
@pytest.mark.parametrize("format_", [PayloadFormat.STANDARD, PayloadFormat.SKILLABLE, PayloadFormat.CLOUDEVENTS])
def test_no_person_is_named_to_a_webhook_without_personal_data(receiver, drain, format_, detail):
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
