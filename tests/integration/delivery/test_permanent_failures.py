"""What no further attempt can help: our own faults, and receivers that want no more."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from tests import sweeps
from tests.factories import WebhookFactory
from tests.integration.delivery.rows import subscribed, write_event, write_events
from tests.integration.delivery.wire import answer, broken
from tms_webhooks.choices import DeliveryStatus, DisabledReason, ErrorClass
from tms_webhooks.models import Delivery, Webhook, WebhookSecret
from tms_webhooks.models.encryption import Sealed
from tms_webhooks.outbox.fanout import fan_out


def assert_failed(webhook: Webhook, error_class: ErrorClass, *, now) -> None:
    delivery = webhook.deliveries.get()
    assert (delivery.status, delivery.due_at, delivery.finished_at) == (DeliveryStatus.FAILED, None, now)
    assert (delivery.attempts, delivery.error_class) == (1, error_class)
    attempt = delivery.attempt_log.get()
    assert (attempt.number, attempt.error_class, attempt.status_code) == (1, error_class, None)
    assert (attempt.next_delay, attempt.delay_reason) == (None, "")
    webhook.refresh_from_db()
    assert webhook.enabled


def test_a_blocked_address_fails_for_good_and_gets_no_request(settings, receiver, drain, clock):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "UNCHECKED_HOSTS": []}
    webhook = WebhookFactory(url=receiver.url, events=["*"])
    write_event(webhook.organization)

    drain()

    assert receiver.received == []
    assert_failed(webhook, ErrorClass.BLOCKED_ADDRESS, now=clock.now)


def test_a_webhook_whose_address_is_blocked_time_after_time_is_disabled_and_misses_nothing(run, wire, clock):
    webhook = subscribed()
    wire.otherwise = broken(ErrorClass.BLOCKED_ADDRESS)
    for _ in range(3):
        write_event(webhook.organization)
        run()
    webhook.refresh_from_db()
    assert webhook.enabled

    write_event(webhook.organization)
    run()
    write_event(webhook.organization)
    run()

    webhook.refresh_from_db()
    assert (webhook.enabled, webhook.disabled_reason) == (False, DisabledReason.BLOCKED_TARGET)
    assert (webhook.state.failures, webhook.disabled_at) == (0, clock.now)
    assert list(webhook.deliveries.order_by("pk").values_list("status", flat=True)) == ["failed"] * 4 + ["skipped"]


def test_a_blocked_address_between_successes_disables_nothing(run, wire):
    webhook = subscribed()
    wire.answers = [broken(ErrorClass.BLOCKED_ADDRESS)] * 3 + [answer()]
    wire.otherwise = broken(ErrorClass.BLOCKED_ADDRESS)
    for _ in range(7):
        write_event(webhook.organization)
        run()

    webhook.refresh_from_db()
    assert webhook.enabled


def test_addresses_that_events_fill_in_say_nothing_of_the_webhook(run, wire):
    webhook = subscribed("/{type}")
    wire.otherwise = broken(ErrorClass.BLOCKED_ADDRESS)
    write_events(webhook.organization, 6)

    run()

    webhook.refresh_from_db()
    assert webhook.enabled


@pytest.mark.parametrize("url", ["ftp://receiver.example.com/", "https://user:pass@receiver.example.com/", "nonsense"])
def test_a_malformed_url_fails_for_good(drain, clock, url):
    webhook = WebhookFactory(url=url, events=["*"])
    write_event(webhook.organization)

    drain()

    assert_failed(webhook, ErrorClass.INVALID_URL, now=clock.now)


def test_a_body_over_the_limit_fails_for_good_and_is_not_sent(settings, run, wire, clock):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "BODY_LIMIT_BYTES": 1_024}
    webhook = subscribed()
    # 1,025 bytes in 1,024 characters.
    write_event(webhook.organization, body='"' + "x" * 1_021 + 'é"')

    run()

    assert wire.requests == []
    assert_failed(webhook, ErrorClass.BODY_TOO_LARGE, now=clock.now)


def test_a_body_of_just_the_limit_is_sent(settings, run, wire):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "BODY_LIMIT_BYTES": 1_024}
    webhook = subscribed()
    write_event(webhook.organization, body='"' + "x" * 1_022 + '"')

    run()

    assert [len(request.body) for request in wire.requests] == [1_024]


def foreign(text: str) -> str:
    """Encrypt with a key that is not at hand."""
    return Fernet(Fernet.generate_key()).encrypt(text.encode()).decode()


def test_a_secret_that_cant_be_decrypted_fails_for_good_and_nothing_is_sent_unsigned(run, wire, clock):
    webhook = subscribed()
    sound = subscribed("/sound", organization=webhook.organization)
    WebhookSecret.objects.filter(webhook=webhook).update(value=Sealed(foreign("whsec_lost")))
    write_event(webhook.organization)

    run()

    assert [request.url for request in wire.requests] == [sound.url]
    assert_failed(webhook, ErrorClass.SECRET_UNREADABLE, now=clock.now)


def test_headers_that_cant_be_decrypted_fail_for_good_and_nothing_is_sent_without_them(run, wire, clock):
    webhook = subscribed()
    Webhook.objects.filter(pk=webhook.pk).update(headers=Sealed(foreign("Authorization=Basic x")))
    write_event(webhook.organization)

    run()

    assert wire.requests == []
    assert_failed(webhook, ErrorClass.SECRET_UNREADABLE, now=clock.now)


def test_a_secret_of_another_form_fails_for_good(run, wire, clock):
    webhook = subscribed()
    webhook.secrets.update(value="not a signing secret")
    write_event(webhook.organization)

    run()

    assert wire.requests == []
    assert_failed(webhook, ErrorClass.SECRET_UNREADABLE, now=clock.now)


def test_a_webhook_without_a_secret_is_never_sent_anything_unsigned(run, wire):
    webhook = subscribed()
    webhook.secrets.all().delete()
    write_event(webhook.organization)

    run()

    assert wire.requests == []
    assert webhook.deliveries.get().status != DeliveryStatus.DELIVERED


def test_a_failure_of_ours_leaves_the_next_delivery_alone(run, settings):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "BODY_LIMIT_BYTES": 1_024}
    webhook = subscribed()
    write_event(webhook.organization, body="x" * 2_000)
    write_event(webhook.organization, body="{}")

    run()

    assert list(webhook.deliveries.order_by("pk").values_list("status", flat=True)) == ["failed", "delivered"]


@pytest.mark.parametrize(
    ("said", "reason", "status", "error_class"),
    [
        (answer(410), "gone", DeliveryStatus.FAILED, "http_status"),
        (answer(500, {"webhook-delivery": "disable"}), "receiver_requested", DeliveryStatus.FAILED, "http_status"),
        (answer(410, {"webhook-delivery": "disable"}), "receiver_requested", DeliveryStatus.FAILED, "http_status"),
        (answer(200, {"webhook-delivery": "Disable"}), "receiver_requested", DeliveryStatus.DELIVERED, ""),
    ],
)
def test_a_receiver_that_wants_no_more_is_disabled_at_once(run, wire, clock, said, reason, status, error_class):
    webhook = subscribed()
    write_event(webhook.organization)
    wire.answers = [said]

    run()

    webhook.refresh_from_db()
    assert (webhook.enabled, webhook.disabled_reason, webhook.disabled_at) == (False, reason, clock.now)
    delivery = webhook.deliveries.get()
    assert (delivery.status, delivery.error_class, delivery.finished_at) == (status, error_class, clock.now)


@pytest.mark.parametrize("value", ["", "enable", "disabled"])
def test_another_word_in_that_header_disables_nothing(run, wire, value):
    webhook = subscribed()
    write_event(webhook.organization)
    wire.answers = [answer(500, {"webhook-delivery": value})]

    run()

    webhook.refresh_from_db()
    assert webhook.enabled
    assert webhook.deliveries.get().status == DeliveryStatus.WAITING


@pytest.mark.parametrize("before", [0, 1, 5, 40])
def test_after_410_all_that_waits_is_skipped_and_nothing_more_is_sent(run, wire, clock, before):
    webhook = subscribed(max_in_flight=1)
    other = subscribed("/other", organization=webhook.organization)
    write_events(webhook.organization, 60)
    told = [answer() for _ in range(before)]
    wire.otherwise = lambda request: (told.pop() if told else answer(410)) if "/hook" in request.url else answer()

    run()
    sweeps.settle(clock.now)

    assert len(wire.to("/hook")) == before + 1
    counts = {status: webhook.deliveries.filter(status=status).count() for status in DeliveryStatus.values}
    assert {status: count for status, count in counts.items() if count} == {
        **({"delivered": before} if before else {}),
        "failed": 1,
        "skipped": 59 - before,
    }
    skipped = webhook.deliveries.filter(status=DeliveryStatus.SKIPPED)
    assert set(skipped.values_list("due_at", "finished_at", "attempts")) == {(None, clock.now, 0)}
    assert other.deliveries.filter(status=DeliveryStatus.DELIVERED).count() == 60


def test_events_after_410_are_kept_as_skipped(run, wire):
    webhook = subscribed()
    write_event(webhook.organization)
    wire.answers = [answer(410)]
    run()

    write_event(webhook.organization)
    run()

    assert len(wire.requests) == 1
    assert list(webhook.deliveries.order_by("pk").values_list("status", flat=True)) == ["failed", "skipped"]


def test_what_was_under_way_when_its_webhook_was_disabled_is_not_left_waiting(worker, wire):
    webhook = subscribed(max_in_flight=2)
    write_events(webhook.organization, 2)
    alice = worker("alice")
    fan_out(alice.clock.now)
    first, second = alice.claim()
    wire.answers = [answer(410), answer(500)]
    gone, refused = alice.send(first), alice.send(second)

    alice.write(gone)
    alice.write(refused)

    assert not Delivery.objects.open().exists()
    assert set(Delivery.objects.values_list("status", flat=True)) == {DeliveryStatus.FAILED, DeliveryStatus.SKIPPED}


def test_a_webhook_that_is_enabled_again_gets_what_comes_then(run, wire):
    webhook = subscribed()
    write_event(webhook.organization)
    wire.answers = [answer(410)]
    run()
    Webhook.objects.filter(pk=webhook.pk).update(enabled=True)

    write_event(webhook.organization)
    run()

    assert list(webhook.deliveries.order_by("pk").values_list("status", flat=True)) == ["failed", "delivered"]
