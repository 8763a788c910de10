"""What is kept of each attempt."""

import logging

import pytest

from tests.integration.delivery.rows import subscribed, write_event
from tests.integration.delivery.wire import Steady, Wire, answer, broken
from tests.receiver import Answer
from tms_webhooks.models import DeliveryAttempt
from tms_webhooks.net.transports import client


@pytest.fixture(autouse=True)
def _steady(monkeypatch):
    """Each exchange takes an eighth of a second."""
    monkeypatch.setattr(client, "time", Steady())


@pytest.fixture
def logged(run):
    """Send an event over a wire that answers this; return the attempt."""

    def logged(said):
        subscribed(happened=1)
        run(wire=Wire(said))
        return DeliveryAttempt.objects.get()

    return logged


def test_an_attempt_keeps_when_how_long_and_what_came_of_it(logged, clock, caplog):
    with caplog.at_level(logging.INFO, "tms_webhooks"):
        attempt = logged(answer(204, body=b"thanks"))

    assert (attempt.number, attempt.charged) == (1, True)
    assert (attempt.started_at, attempt.duration_ms) == (clock.now, 125)
    assert (attempt.status_code, attempt.error_class, attempt.message) == (204, "", "HTTP 204 No Content")
    assert attempt.response_body == "thanks"
    assert (attempt.next_delay, attempt.delay_reason) == (None, "")
    one = attempt.delivery
    assert (one.status, one.due_at, one.finished_at, one.error_class) == ("delivered", None, clock.now, "")
    line = f"event={one.event.public_id} delivery={one.pk} webhook={one.webhook_id} number=1 status=204"
    assert line in caplog.text


def test_a_failed_attempt_keeps_the_answer_without_its_secrets(logged):
    attempt = logged(answer(503, headers={"server": "nginx", "set-cookie": "id=7"}, body=b"try later"))

    assert (attempt.status_code, attempt.error_class) == (503, "http_status")
    assert attempt.response_headers == "server: nginx\nset-cookie: ••••"
    assert (attempt.message, attempt.response_body) == ("HTTP 503 Service Unavailable", "try later")


@pytest.mark.parametrize(
    "error, message",
    [
        (broken("connection_refused"), "receiver.example.com: connection_refused"),
        (RuntimeError("Authorization: Basic dXNlcjpwYXNz"), "unexpected RuntimeError"),
    ],
)
def test_an_attempt_without_an_answer_keeps_the_reason_in_words(logged, error, message):
    attempt = logged(error)

    assert (attempt.status_code, attempt.response_body, attempt.message) == (None, "", message)
    assert attempt.delivery.status == "waiting"


def test_attempts_of_each_delivery_are_numbered_from_one_without_gaps(run, clock):
    webhook = subscribed(happened=1)
    wire = Wire(
        answer(500),
        answer(429, {"retry-after": "60"}),
        broken("timeout"),
        answer(503, {"retry-after": "60"}),
        answer(302),
    )
    while due_at := webhook.deliveries.values_list("due_at", flat=True).first() or not wire.requests:
        clock.now = clock.now if due_at is True else due_at
        run(wire=wire)

    log = DeliveryAttempt.objects.order_by("number").values_list("number", "charged", "delay_reason")
    assert list(log) == [
        (1, True, "schedule"),
        (2, False, "retry_after"),
        (3, True, "schedule"),
        (4, False, "retry_after"),
        (5, True, "schedule"),
        (6, True, ""),
    ]
    assert [request.headers["tms-attempt"] for request in wire.requests] == ["1", "2", "3", "4", "5", "6"]
    delivery = webhook.deliveries.get()
    assert (delivery.status, delivery.charged, delivery.error_class) == ("delivered", 4, "")
    write_event(webhook.organization)
    run()
    assert DeliveryAttempt.objects.latest("pk").number == 1


@pytest.mark.parametrize(
    "body, kept",
    [
        (b"a\x00b", "a\ufffdb"),
        (b"caf\xc3\xa9 \xff\xfe", "café \ufffd\ufffd"),
        ("🎓 done".encode(), "🎓 done"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"line\r\nline", "line\r\nline"),
    ],
)
def test_any_bytes_of_an_answer_can_be_kept(logged, body, kept):
    assert logged(answer(200, body=body)).response_body == kept


@pytest.mark.parametrize("status", [200, 500])
def test_an_attempt_keeps_where_its_time_went(receiver, drain, status):
    subscribed(url=receiver.url, happened=1)
    receiver.answers.append(Answer(status=status, delay=0.3))

    drain()

    attempt = DeliveryAttempt.objects.get()
    parts = attempt.parts
    assert parts.tls is None
    assert None not in (parts.dns, parts.connect, parts.read)
    # On a busy machine, the receiver sleeps for a while before the sender notes that it has sent the request.
    assert 0.03 <= parts.wait <= (attempt.duration_ms + 1) / 1000
