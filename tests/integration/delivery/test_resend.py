"""One delivery sent again by a person: at once, once, and of no meaning for the webhook's health."""

from datetime import timedelta

import pytest
from django.utils import timezone

from tests import sweeps
from tests.integration.delivery.rows import stored, subscribed, write_delivery, write_event
from tests.integration.delivery.wire import answer, is_signed_by
from tms_webhooks.choices import DisabledReason, Priority
from tms_webhooks.delivery import lifecycle
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.manage.deliveries import resend
from tms_webhooks.manage.secrets import rotate
from tms_webhooks.models import Delivery, Event, Webhook, WebhookState


@pytest.fixture
def delivered(run):
    """Make a webhook that got one event; return the delivery."""

    def delivered(**fields):
        webhook = subscribed(**fields, happened=1)
        run()
        return webhook.deliveries.get()

    return delivered


def test_it_is_sent_at_once_with_the_same_id_and_the_next_number(delivered, run, wire, clock):
    delivery = delivered()
    clock.advance(hours=1)

    resend(delivery, now=clock.now)
    run()

    first, second = wire.requests
    assert second.headers["webhook-id"] == first.headers["webhook-id"]
    assert (first.headers["tms-attempt"], second.headers["tms-attempt"]) == ("1", "2")
    assert second.headers["webhook-timestamp"] == str(int(clock.now.timestamp()))
    assert stored(delivery, "status", "attempts", "finished_at") == ("delivered", 2, clock.now)


def test_it_goes_to_todays_url_with_todays_secret(delivered, run, wire, clock):
    delivery = delivered()
    new = rotate(delivery.webhook, now=timezone.now(), overlap=timedelta())
    Webhook.objects.update(url="https://receiver.example.com/new")

    resend(delivery, now=clock.now)
    run()

    assert wire.requests[-1].url == "https://receiver.example.com/new"
    assert is_signed_by(wire.requests[-1], new)


@pytest.mark.parametrize("status", ["delivered", "exhausted", "failed", "skipped", "cancelled"])
def test_whatever_is_finished_can_be_sent_again(clock, run, wire, status):
    long_ago = clock.now - timedelta(days=20)
    delivery = write_delivery(
        subscribed(), now=clock.now, status=status, due_at=None, finished_at=clock.now, created_at=long_ago
    )

    resend(delivery, now=clock.now)
    sweeps.give_up_old(clock.now)
    run()

    delivery.refresh_from_db()
    assert (delivery.status, len(wire.requests)) == ("delivered", 1)


def test_it_is_one_attempt_and_no_more(delivered, run, wire, clock):
    delivery = delivered()
    wire.otherwise = 500

    resend(delivery, now=clock.now)
    for _ in range(5):
        run()
        clock.advance(days=1)

    assert len(wire.requests) == 2
    assert stored(delivery, "status", "due_at", "error_class") == ("exhausted", None, "http_status")
    assert delivery.attempt_log.get(number=2).delay_reason == ""


@pytest.mark.parametrize("said", [answer(200), answer(500), answer(410), answer(200, {"webhook-delivery": "disable"})])
def test_it_says_nothing_of_the_webhooks_health(delivered, run, wire, clock, heard, said):
    delivery = delivered(error_action="disable")
    webhook = delivery.webhook
    ill = {"failures": 3, "failing_since": clock.now - timedelta(days=30), "warned_percent": 20}
    WebhookState.objects.update(**ill)
    wire.answers = [said]

    resend(delivery, now=clock.now)
    run()

    webhook.refresh_from_db()
    assert {name: getattr(webhook.state, name) for name in ill} == ill
    assert (webhook.enabled, webhook.state.paused_until, heard) == (True, None, [])
    assert stored(delivery, "given_up_at") is None


@pytest.mark.parametrize("reason", [DisabledReason.ADMIN, DisabledReason.GONE])
def test_it_goes_to_a_disabled_webhook_and_nothing_else_does(delivered, run, wire, clock, reason):
    delivery = delivered()
    lifecycle.disable(delivery.webhook, reason=reason, now=clock.now)
    write_event(delivery.webhook.organization)

    resend(delivery, now=clock.now)
    run()

    assert [request.headers["tms-delivery-id"] for request in wire.requests] == [delivery.public_id] * 2
    assert Webhook.objects.get().disabled_reason == reason


# What can't be sent again


@pytest.mark.parametrize(
    "status, text",
    [
        ("pending", "pending; send it now, or wait until it is finished."),
        ("waiting", "waiting; send it now, or wait until it is finished."),
    ],
)
def test_an_unfinished_delivery_is_refused(clock, status, text):
    delivery = write_delivery(subscribed(), now=clock.now, status=status)

    with pytest.raises(ReplayError) as refused:
        resend(delivery, now=clock.now)

    assert str(refused.value) == f"Delivery {delivery.public_id} is {text}"
    assert Delivery.objects.get().priority == Priority.LIVE


def test_a_delivery_without_a_payload_is_refused(delivered, clock, run, wire):
    delivery = delivered()
    Event.objects.update(body="")

    with pytest.raises(ReplayError) as refused:
        resend(Delivery.objects.get(), now=clock.now)

    assert str(refused.value) == (
        f"Delivery {delivery.public_id}: its payload is no longer kept (after 30 days); it can't be sent again."
    )
    run()
    assert len(wire.requests) == 1


def test_two_people_at_once_send_it_once(delivered, clock, run, wire):
    delivery = delivered()
    same = Delivery.objects.get(pk=delivery.pk)
    resend(delivery, now=clock.now)

    with pytest.raises(ReplayError, match=f"Delivery {delivery.public_id} is already being sent again"):
        resend(same, now=clock.now)

    run()
    assert len(wire.requests) == 2
