"""A test send over the API: at once, by the real way, and answered with all that came of it."""

import pytest
from django.db import connection, connections

from example_project.training.factories import TrainingClassFactory
from tests.factories import WebhookFactory
from tests.integration.api.people import at, error_of
from tests.receiver import Answer
from tms_webhooks.models import AuditEntry, Delivery, IdempotentRequest


@pytest.fixture
def webhook(acme, receiver):
    return WebhookFactory(organization=acme, url=receiver.url)


@pytest.fixture
def atomic_requests(monkeypatch):
    """A host that has one transaction for each request."""
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)


@pytest.fixture
def test(client, webhook):
    def test(body=None, *, by=client, **headers):
        return by.post(at(webhook, "test"), body or {}, headers=headers)

    return test


def test_the_answer_tells_what_came_of_it(receiver, webhook, test):
    receiver.answers.append(Answer(status=201, body=b"thanks"))

    data = test({"event_type": "class.cancelled"}).json()

    (request,) = receiver.received
    delivery = Delivery.objects.get()
    assert (data["success"], data["status_code"], data["error_class"]) == (True, 201, "")
    assert data["message"] == "HTTP 201 Created"
    assert (data["delivery"], data["event"]) == (delivery.public_id, request.headers["webhook-id"])
    assert data["request"]["headers"] == {
        name: request.headers[name] for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
    }
    assert (data["request"]["method"], data["request"]["body"]) == ("POST", request.body.decode())
    assert data["response_body"] == "thanks"
    assert sorted(data["timing_ms"]) == ["connect", "dns", "read", "tls", "wait"]
    assert 0 < data["timing_ms"]["wait"] <= data["duration_ms"]
    assert data["healed"] is False


def test_bodies_are_for_those_who_may_see_payloads(receiver, restricted, test):
    data = test(by=restricted("view_payload")).json()

    assert (data["request"]["body"], data["response_body"]) == (None, None)
    assert data["request"]["headers"]["webhook-signature"].startswith("v1,")


SAMPLE = {"event_type": "class.updated"}


@pytest.mark.parametrize(
    "values, pointer, code, words",
    [
        ({"event_type": "class.canceled"}, "event_type", "unknown", '"class.cancelled"'),
        ({"subject": "clas:5"}, "subject", "invalid", 'Did you mean "class" or "classroom"?'),
        ({"subject": "enrollment:5"}, "subject", "wrong_noun", "Write class:ID"),
        (
            {"subject": "class:5", "event_type": "webhook.test"},
            "subject",
            "wrong_noun",
            "webhook.test has no object. Leave the object empty, or choose an event type of class.",
        ),
        ({"formt": "custom"}, "formt", "unknown", "Unknown field 'formt'."),
    ],
)
@pytest.mark.parametrize("action", ["test", "preview"])
def test_bad_input_of_a_test_and_a_preview_names_the_field_and_the_remedy(
    client, receiver, webhook, action, values, pointer, code, words
):
    place, found, detail = error_of(client.post(at(webhook, action), {**SAMPLE, **values}))

    assert (place, found) == (f"#/{pointer}", code)
    assert words in detail
    assert receiver.received == []


# Tests of real objects, and the verdict


@pytest.fixture
def training_class(acme):
    return TrainingClassFactory(organization=acme, name="Linux")


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_the_receiver_answers(receiver, test, atomic_requests):
    seen = []
    ours = connections["default"]
    receiver.respond = lambda request: seen.append(ours.in_atomic_block) or Answer()

    assert test(**{"Idempotency-Key": "5f0c"}).json()["success"] is True

    assert seen == [False]
    assert AuditEntry.objects.count() == IdempotentRequest.objects.filter(status_code=200).count() == 1
