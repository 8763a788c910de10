"""Try now: what waits goes out at once, the attempt uses up no retry, and the retries follow as before."""

from datetime import timedelta

import pytest

from tests.integration.delivery.rows import stored, subscribed, write_delivery
from tests.integration.delivery.wire import answer
from tms_webhooks.choices import JobKind, Priority
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.manage import deliveries
from tms_webhooks.models import Delivery, Webhook, WebhookState

HOUR = timedelta(hours=1)


@pytest.fixture
def waiting(clock):
    """Write a delivery that is retried in an hour; by default its second attempt has just failed."""

    def waiting(webhook=None, **values):
        retry = {"status": "waiting", "due_at": clock.now + HOUR, "attempts": 2, "charged": 2}
        return write_delivery(webhook or subscribed(), now=clock.now, **{**retry, **values})

    return waiting


@pytest.fixture
def send_now(clock):
    def send_now(delivery):
        deliveries.send_now(delivery, now=clock.now)
        delivery.refresh_from_db()
        return delivery

    return send_now


# One delivery


@pytest.mark.parametrize(
    "state",
    [{}, {"paused_until": HOUR, "failures": 5, "pauses": 1}, {"held_until": HOUR, "hold_reason": "retry_after"}],
)
def test_a_waiting_delivery_goes_out_at_once_whatever_its_webhook_waits_for(clock, waiting, send_now, run, wire, state):
    delivery = waiting()
    times = {name: clock.now + value if isinstance(value, timedelta) else value for name, value in state.items()}
    WebhookState.objects.update(**times)

    send_now(delivery)
    run()

    (request,) = wire.requests
    assert request.headers["tms-attempt"] == "3"
    assert stored(delivery, "status") == "delivered"
    assert {name: getattr(WebhookState.objects.get(), name) for name in times} == times


@pytest.mark.parametrize("priority, is_job", [(Priority.LIVE, False), (Priority.REPLAY, False), (Priority.LIVE, True)])
def test_a_failure_uses_up_no_retry_and_the_retries_follow_as_before(
    clock, waiting, send_now, do, run, wire, priority, is_job
):
    delivery = waiting(priority=priority)
    wire.otherwise = 500
    if is_job:
        do(JobKind.SEND_NOW, delivery.webhook)
    else:
        send_now(delivery)

    run()

    assert stored(delivery, "status", "attempts", "charged") == ("waiting", 3, 2)
    assert stored(delivery, "priority", "resume_priority") == (priority, None)
    assert stored(delivery, "due_at") == clock.now + timedelta(seconds=60)
    attempt = delivery.attempt_log.get()
    assert (attempt.charged, attempt.next_delay, attempt.delay_reason) == (False, 60.0, "schedule")
    assert is_job or Webhook.objects.get().state.failures == 0


def test_the_number_of_attempts_is_one_more_however_often_it_is_tried_now(clock, waiting, send_now, run, wire):
    webhook = subscribed(max_retries=2)
    delivery = waiting(webhook)
    wire.otherwise = 500

    for _ in range(3):
        send_now(delivery)
        run()
        delivery.refresh_from_db()
    clock.advance(hours=1)
    run()

    assert stored(delivery, "status", "attempts", "charged") == ("exhausted", 6, 3)


def test_a_delivery_that_was_never_tried_has_all_its_attempts_left(clock, waiting, send_now, run, wire):
    webhook = subscribed(schedule="none", delay_seconds=3_600)
    delivery = waiting(webhook, status="pending", attempts=0, charged=0)
    wire.otherwise = 500
    send_now(delivery)

    run()

    delivery.refresh_from_db()
    assert (delivery.status, delivery.attempts, delivery.charged) == ("waiting", 1, 0)
    assert delivery.due_at == clock.now + timedelta(seconds=60)
    clock.advance(minutes=1)
    run()
    assert stored(delivery, "status", "charged") == ("exhausted", 1)


def test_a_retry_after_defers_it_like_any_other_and_holds_nothing_else(clock, waiting, send_now, run, wire):
    delivery = waiting()
    wire.otherwise = answer(429, {"retry-after": "600"})
    send_now(delivery)

    run(random=0.0)

    assert stored(delivery, "due_at", "charged") == (clock.now + timedelta(seconds=600), 2)
    assert WebhookState.objects.get().held_until is None


def test_one_that_fails_for_good_is_given_up_and_reported(waiting, send_now, run, wire, heard):
    delivery = waiting()
    wire.otherwise = "body_too_large"
    send_now(delivery)

    run()

    delivery.refresh_from_db()
    assert (delivery.status, [name for name, _facts in heard]) == ("failed", ["exhausted"])


def test_the_delivery_of_an_object_waits_for_earlier_ones_of_an_ordered_webhook(clock, waiting, send_now):
    webhook = subscribed(ordered=True)
    first, second = waiting(webhook, order_key=7), waiting(webhook, order_key=7)
    other = waiting(webhook, order_key=8)

    with pytest.raises(ReplayError) as refusal:
        send_now(second)

    assert str(refusal.value) == (
        f"Delivery {second.public_id} waits for an earlier one of the same object; send {first.public_id} first."
    )
    for delivery in (first, other):
        assert send_now(delivery).due_at == clock.now


@pytest.mark.parametrize(
    "values, reason",
    [
        ({"status": "delivered", "due_at": None}, "is finished (delivered); resend it instead."),
        ({"status": "cancelled", "due_at": None}, "is finished (cancelled); resend it instead."),
        ({"priority": Priority.MANUAL}, "is being sent already."),
    ],
)
def test_what_does_not_wait_is_refused_with_the_reason(waiting, send_now, values, reason):
    delivery = waiting(**values)

    with pytest.raises(ReplayError) as refusal:
        send_now(delivery)

    assert str(refusal.value) == f"Delivery {delivery.public_id} {reason}"


@pytest.mark.parametrize(
    "fields, reason",
    [
        ({"enabled": False}, "is disabled; enable it first."),
        ({"pull_only": True, "url": ""}, "is pull-only; nothing is sent to it. Read its feed."),
    ],
)
def test_a_webhook_that_gets_nothing_gets_nothing_now(waiting, send_now, fields, reason):
    webhook = subscribed()
    Webhook.objects.update(**fields)
    webhook.refresh_from_db()

    with pytest.raises(ReplayError) as refusal:
        send_now(waiting(webhook))

    assert str(refusal.value) == f"Webhook {webhook.public_id} {reason}"


# All that waits


def test_all_that_waits_goes_out_and_nothing_else_changes(clock, waiting, do, run, wire, finished):
    webhook = subscribed()
    retries = [waiting(webhook), waiting(webhook)]
    new = waiting(webhook, status="pending", attempts=0, charged=0)
    other = waiting()
    finished(webhook, "exhausted")

    job = do(JobKind.SEND_NOW, webhook)

    assert (job.status, job.total, job.done) == ("finished", 3, 3)
    run()
    assert {request.headers["tms-delivery-id"] for request in wire.requests} == {
        one.public_id for one in (*retries, new)
    }
    assert stored(other, "due_at") == clock.now + HOUR


def test_a_pause_and_a_hold_end_and_the_next_pause_is_no_longer(clock, waiting, do, run, wire):
    webhook = subscribed()
    deliveries = [waiting(webhook, status="pending", attempts=0, charged=0) for _ in range(20)]
    until = clock.now + timedelta(minutes=4)
    WebhookState.objects.update(paused_until=until, held_until=until, hold_reason="retry_after", pauses=3, failures=6)
    wire.otherwise = 500

    do(JobKind.SEND_NOW, webhook)

    webhook.refresh_from_db()
    assert (webhook.status(clock.now), webhook.state.hold_reason, webhook.state.pauses, webhook.state.failures) == (
        "enabled",
        "",
        2,
        6,
    )
    run()
    assert stored(webhook, "state__paused_until", "state__pauses") == (until, 3)
    tried = [one.attempts for one in Delivery.objects.filter(pk__in=[one.pk for one in deliveries])]
    assert 0 < sum(tried) < len(deliveries)
