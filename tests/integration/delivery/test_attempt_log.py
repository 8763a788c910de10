"""What is kept of each attempt."""

from __future__ import annotations

import pytest

from tests.factories import WebhookFactory
from tests.integration.delivery.rows import subscribed, write_event
from tests.integration.delivery.wire import Wire, answer, broken
from tests.receiver import Answer
from tms_webhooks.choices import ErrorClass
from tms_webhooks.models import DeliveryAttempt


def test_an_attempt_keeps_when_how_long_and_what_came_of_it(run, wire, clock):
    webhook = subscribed()
    write_event(webhook.organization)
    wire.answers = [answer(200, body=b"thanks")]

    run()

    attempt = DeliveryAttempt.objects.get()
    assert attempt.delivery == webhook.deliveries.get()
    assert (attempt.number, attempt.charged) == (1, True)
    assert (attempt.started_at, attempt.duration_ms) == (clock.now, 125)
    assert (attempt.status_code, attempt.error_class, attempt.message) == (200, "", "HTTP 200 OK")
    assert attempt.response_body == "thanks"
    assert (attempt.next_delay, attempt.delay_reason) == (None, "")


def test_a_failed_attempt_keeps_when_the_next_one_comes_and_why(run, wire):
    webhook = subscribed()
    write_event(webhook.organization)
    wire.answers = [answer(503, headers={"server": "nginx", "set-cookie": "id=7"}, body=b"try later")]

    run()

    attempt = DeliveryAttempt.objects.get()
    assert (attempt.status_code, attempt.error_class) == (503, "http_status")
    assert attempt.response_headers == "server: nginx\nset-cookie: ••••"
    assert attempt.message == "HTTP 503 Service Unavailable"
    assert attempt.response_body == "try later"
    assert (attempt.next_delay, attempt.delay_reason) == (5.0, "schedule")


def test_an_attempt_without_an_answer_keeps_the_reason_in_words(run, wire):
    webhook = subscribed()
    write_event(webhook.organization)
    wire.answers = [broken(ErrorClass.CONNECTION_REFUSED)]

    run()

    attempt = DeliveryAttempt.objects.get()
    assert (attempt.status_code, attempt.response_body) == (None, "")
    assert attempt.message == "receiver.example.com: connection_refused"


def test_attempts_are_numbered_from_one_without_gaps(run, clock):
    webhook = subscribed()
    write_event(webhook.organization)
    wire = Wire(
        answer(500),
        answer(429, {"retry-after": "60"}),
        broken(ErrorClass.TIMEOUT),
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


def test_deliveries_are_numbered_each_on_its_own(run, clock):
    webhook = subscribed()
    write_event(webhook.organization)
    write_event(webhook.organization)
    run(wire=Wire(otherwise=answer(500)))
    clock.advance(seconds=5)
    run()

    assert sorted(DeliveryAttempt.objects.values_list("delivery__pk", "number")) == [
        (delivery.pk, number) for delivery in webhook.deliveries.order_by("pk") for number in (1, 2)
    ]


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b"", ""),
        (b"a\x00b", "a\ufffdb"),
        (b"caf\xc3\xa9 \xff\xfe", "café \ufffd\ufffd"),
        ("🎓 done".encode(), "🎓 done"),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),
        (b"line\r\nline", "line\r\nline"),
    ],
)
def test_any_bytes_of_an_answer_can_be_kept(run, wire, body, kept):
    webhook = subscribed()
    write_event(webhook.organization)
    wire.answers = [answer(200, body=body)]

    run()

    assert DeliveryAttempt.objects.get().response_body == kept


@pytest.mark.parametrize("size", [16_384, 16_385, 1_000_000])
def test_at_most_16_kib_of_an_answer_are_kept(receiver, drain, size):
    webhook = WebhookFactory(url=receiver.url, events=["*"])
    write_event(webhook.organization)
    receiver.answers = [Answer(body=b"x" * size)]

    drain()

    attempt = DeliveryAttempt.objects.get()
    assert (attempt.status_code, attempt.response_body) == (200, "x" * 16_384)


def test_a_long_location_or_message_is_cut_and_kept_in_one_line(run, wire):
    webhook = subscribed()
    write_event(webhook.organization)
    wire.answers = [answer(302, {"location": "https://elsewhere.example.com/" + "x" * 5_000})]

    run()

    attempt = DeliveryAttempt.objects.get()
    assert len(attempt.message) <= 500
    assert attempt.message.startswith(
        "HTTP 302 Found; redirects are not followed. Location: https://elsewhere.example.com"
    )
    assert attempt.response_body.startswith("Location: https://elsewhere.example.com/xxx")
    assert len(attempt.response_body) < 600


def test_what_our_own_fault_stopped_is_kept_too(run, wire, settings):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "BODY_LIMIT_BYTES": 1_024}
    webhook = subscribed()
    write_event(webhook.organization, body="x" * 1_025)

    run()

    attempt = DeliveryAttempt.objects.get()
    assert (attempt.number, attempt.error_class) == (1, "body_too_large")
    assert "1025 bytes" in attempt.message


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("status", [200, 500])
def test_an_attempt_keeps_where_its_time_went(receiver, drain, status):
    webhook = WebhookFactory(url=receiver.url, events=["*"])
    write_event(webhook.organization)
    receiver.answers.append(Answer(status=status, delay=1.0))

    drain()

    attempt = DeliveryAttempt.objects.get()
    parts = attempt.parts
    assert parts.tls is None
    assert None not in (parts.dns, parts.connect, parts.read)
    # On a busy machine, the receiver sleeps for a while before the sender notes that it has sent the request.
    assert 0.1 <= parts.wait <= (attempt.duration_ms + 1) / 1000
