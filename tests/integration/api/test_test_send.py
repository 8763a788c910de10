"""A test send over the API: at once, by the real way, and answered with all that came of it."""

from __future__ import annotations

import pytest
from django.db import connection, connections

from tests.factories import WebhookFactory
from tests.receiver import Answer
from tms_webhooks.catalogue import registry
from tms_webhooks.models import AuditEntry, Delivery, Event, IdempotentRequest, Webhook
from tms_webhooks.models.encryption import reveal

pytestmark = pytest.mark.django_db


@pytest.fixture
def webhook(acme, receiver) -> Webhook:
    return WebhookFactory(organization=acme, url=receiver.url)


@pytest.fixture
def atomic_requests(monkeypatch) -> None:
    """A host that has one transaction for each request."""
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)


@pytest.fixture
def test(client, webhook):
    def test(body=None, *, by=client, **headers):
        return by.post(f"/api/webhooks/{webhook.public_id}/test/", body or {}, format="json", headers=headers)

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


def test_a_failure_is_an_answer_too(receiver, test):
    receiver.answers.append(Answer(status=503))

    response = test()

    assert response.status_code == 200
    assert (response.json()["success"], response.json()["error_class"]) == (False, "http_status")


def test_bodies_are_for_those_who_may_see_payloads(receiver, restricted, test):
    data = test(by=restricted("view_payload")).json()

    assert (data["request"]["body"], data["response_body"]) == (None, None)
    assert data["request"]["headers"]["webhook-signature"].startswith("v1,")


def test_it_is_written_down_without_the_signature(receiver, webhook, test):
    data = test().json()

    entry = AuditEntry.objects.get()
    assert (entry.action, entry.target) == ("webhook.tested", f"delivery:{data['delivery']}")
    assert entry.changes == {"event_type": "webhook.test", "status_code": 200}


def test_an_unknown_event_type_is_rejected(receiver, test, problem):
    (error,) = problem(test({"event_type": "class.canceled"}), "invalid-request")["errors"]

    assert (error["pointer"], error["code"]) == ("#/event_type", "unknown")
    assert '"class.cancelled"' in error["detail"]
    assert receiver.received == []


def test_a_body_that_breaks_the_schema_is_refused_without_quoting_it(receiver, test, problem):
    body = registry.get("class.cancelled").example()
    body["data"]["status"] = "s3cret"

    (error,) = problem(test({"event_type": "class.cancelled", "body": body}), "invalid-request")["errors"]

    assert (error["pointer"], error["code"]) == ("#/body", "schema")
    assert "data.status" in error["detail"]
    assert "s3cret" not in error["detail"]
    assert (receiver.received, Event.objects.exists()) == ([], False)


@pytest.mark.parametrize("body", [[], "{}", None, 5])
def test_a_body_that_is_no_object_is_refused(receiver, test, problem, body):
    (error,) = problem(test({"body": body}), "invalid-request")["errors"]

    assert error["pointer"] == "#/body"
    assert receiver.received == []


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_the_receiver_answers(receiver, test, atomic_requests):
    seen = []
    ours = connections["default"]
    receiver.respond = lambda request: seen.append(ours.in_atomic_block) or Answer()

    assert test(**{"Idempotency-Key": "5f0c"}).json()["success"] is True

    assert seen == [False]
    assert AuditEntry.objects.count() == IdempotentRequest.objects.filter(status_code=200).count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("verb", ["enable", "disable", "rotate-secret"])
def test_every_other_verb_is_one_transaction_where_the_host_wants_it(client, webhook, verb, atomic_requests):
    seen = []

    def look(execute, sql, *arguments):
        # SQLite's BEGIN is a statement, too.
        if "tms_webhooks" in sql:
            seen.append(connection.in_atomic_block)
        return execute(sql, *arguments)

    with connection.execute_wrapper(look):
        assert client.post(f"/api/webhooks/{webhook.public_id}/{verb}/", {}, format="json").status_code == 200

    assert set(seen) == {True}


def test_with_an_idempotency_key_it_is_sent_once(receiver, test):
    headers = {"Idempotency-Key": "5f0c"}

    first, second = test(**headers), test(**headers)

    assert first.json() == second.json()
    assert len(receiver.received) == 1
    row = IdempotentRequest.objects.get()
    assert first.json()["request"]["headers"]["webhook-signature"] in reveal(row.answer)
    assert "v1," not in IdempotentRequest.objects.values_list("answer", flat=True).get().token
