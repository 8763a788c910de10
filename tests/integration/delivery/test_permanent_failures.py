"""What no further attempt can help: our own faults, and receivers that want no more."""

import pytest
from cryptography.fernet import Fernet

from tests import sweeps
from tests.integration.delivery.rows import distinct, stored, subscribed, write, write_event, write_events
from tests.integration.delivery.wire import answer
from tms_webhooks.choices import DisabledReason
from tms_webhooks.models import Event, Webhook
from tms_webhooks.models.encryption import Sealed


def foreign(text):
    """Encrypt with a key that is not at hand."""
    return Sealed(Fernet(Fernet.generate_key()).encrypt(text.encode()).decode())


@pytest.mark.parametrize(
    "error_class, spoil",
    [
        ("blocked_address", {"url": "http://127.0.0.2:{port}/"}),
        ("invalid_url", {"url": "ftp://receiver.example.com/"}),
        ("invalid_url", {"url": "https://user:pass@receiver.example.com/"}),
        ("invalid_url", {"url": "nonsense"}),
        ("secret_unreadable", {"headers": foreign("Authorization=Basic x")}),
        ("secret_unreadable", {"secret": foreign("whsec_lost")}),
        ("secret_unreadable", {"secret": "not a signing secret"}),
        ("secret_unreadable", {"secret": Sealed("no token at all")}),
        # 1,025 bytes in 1,024 characters.
        ("body_too_large", {"body": '"' + "x" * 1_021 + 'é"'}),
    ],
)
def test_a_fault_of_ours_fails_for_good_sends_nothing_and_stops_nobody(
    settings_of_app, receiver, drain, clock, error_class, spoil
):
    settings_of_app(BODY_LIMIT_BYTES=1_024)
    sound, webhook = (subscribed(url=receiver.url) for _ in range(2))
    # Just as many as the limit.
    write_event(sound.organization, body='"' + "x" * 1_022 + '"')
    write_event(webhook.organization, body=spoil.get("body", "{}"))
    if "secret" in spoil:
        webhook.secrets.update(value=spoil["secret"])
    fields = {name: spoil[name] for name in spoil.keys() & {"url", "headers"}}
    if "url" in fields:
        fields["url"] = fields["url"].format(port=receiver.port)
    write(webhook, enabled=True, **fields)

    drain()

    assert [len(request.body) for request in receiver.received] == [1_024]
    delivery = webhook.deliveries.get()
    assert (delivery.status, delivery.due_at, delivery.finished_at) == ("failed", None, clock.now)
    assert (delivery.attempts, delivery.error_class) == (1, error_class)
    attempt = delivery.attempt_log.get()
    assert (attempt.number, attempt.error_class, attempt.status_code) == (1, error_class, None)
    assert (attempt.next_delay, attempt.delay_reason) == (None, "")
    assert stored(webhook, "enabled", "state__failures") == (True, 0)


def test_a_webhook_without_a_secret_is_never_sent_anything_unsigned(run, wire):
    webhook = subscribed()
    webhook.secrets.all().delete()
    write_event(webhook.organization)

    run()

    assert wire.requests == []
    assert webhook.deliveries.get().status != "delivered"


def test_a_webhook_whose_address_is_blocked_time_after_time_is_disabled_and_misses_nothing(run, wire, clock):
    webhook = subscribed()
    # A success in between begins the count again, and addresses that events fill in say nothing of the webhook.
    filled_in = subscribed("/{type}")
    wire.answers = ["blocked_address"] * 3 + [200]
    wire.otherwise = "blocked_address"
    for _ in range(7):
        write_event(webhook.organization)
        run()
    write_events(filled_in.organization, 6)
    run()
    assert distinct(Webhook, "enabled") == {True}

    for _ in range(2):
        write_event(webhook.organization)
        run()

    assert stored(webhook, "enabled", "disabled_reason") == (False, DisabledReason.BLOCKED_TARGET)
    assert stored(webhook, "state__failures", "disabled_at") == (0, clock.now)
    statuses = webhook.deliveries.order_by("pk").values_list("status", flat=True)
    assert list(statuses) == [*["failed"] * 3, "delivered", *["failed"] * 4, "skipped"]
    assert stored(filled_in, "enabled")


@pytest.mark.parametrize(
    "said, reason, status, error_class",
    [
        (answer(410), "gone", "failed", "http_status"),
        (answer(500, {"webhook-delivery": "disable"}), "receiver_requested", "failed", "http_status"),
        (answer(200, {"webhook-delivery": "Disable"}), "receiver_requested", "delivered", ""),
    ],
)
def test_a_receiver_that_wants_no_more_is_disabled_at_once(run, wire, clock, heard, said, reason, status, error_class):
    webhook = subscribed(happened=1)
    wire.answers = [said]

    run()

    assert stored(webhook, "enabled", "disabled_reason", "disabled_at") == (False, reason, clock.now)
    delivery = webhook.deliveries.get()
    assert (delivery.status, delivery.error_class, delivery.finished_at) == (status, error_class, clock.now)
    disabled = [facts for name, facts in heard if name == "disabled"]
    assert [(facts["webhook"].pk, facts["reason"]) for facts in disabled] == [(webhook.pk, reason)]


@pytest.mark.parametrize("before", [0, 1, 40])
def test_after_410_all_that_waits_is_skipped_and_nothing_more_is_sent(run, wire, clock, before):
    webhook = subscribed(max_in_flight=1)
    other = subscribed("/other", organization=webhook.organization)
    write_events(webhook.organization, 60)
    accepted = [answer() for _ in range(before)]
    wire.otherwise = lambda request: (
        (accepted.pop() if accepted else answer(410)) if "/hook" in request.url else answer()
    )

    run()
    sweeps.settle(clock.now)

    assert len(wire.to("/hook")) == before + 1
    statuses = list(webhook.deliveries.values_list("status", flat=True))
    assert sorted(statuses) == ["delivered"] * before + ["failed"] + ["skipped"] * (59 - before)
    skipped = webhook.deliveries.filter(status="skipped")
    assert distinct(skipped, "due_at", "finished_at", "attempts") == {(None, clock.now, 0)}
    assert other.deliveries.filter(status="delivered").count() == Event.objects.count() == 60
