"""What a disabled webhook misses is kept: skipped, and found again when somebody asks for it."""

import pytest

from tests import sweeps
from tests.integration.delivery.rows import disable, stored, subscribed, write_events
from tms_webhooks.choices import JobKind, Priority
from tms_webhooks.delivery import replay
from tms_webhooks.manage import webhooks


@pytest.fixture
def disabled(clock):
    """Make a webhook that a person has disabled."""

    def disabled(**fields):
        webhook = subscribed(**fields)
        disable(webhook, clock.now)
        return webhook

    return disabled


def statuses(webhook):
    return list(webhook.deliveries.order_by("pk").values_list("status", flat=True))


def missed(webhook):
    return replay.affected(JobKind.REPLAY_MISSED, webhook, since=None, until=None).count()


def test_new_events_are_skipped_and_counted_as_missed(disabled, run, wire):
    webhook = disabled()
    write_events(webhook.organization, 3)

    run()

    assert wire.requests == []
    assert statuses(webhook) == ["skipped"] * 3
    assert missed(webhook) == 3


def test_enabling_does_not_send_them_by_itself(disabled, run, wire, clock):
    webhook = disabled()
    write_events(webhook.organization, 3)
    run()

    webhooks.enable(webhook, now=clock.now)
    run()
    sweeps.settle(clock.now)
    clock.advance(days=1)
    run()

    assert wire.requests == []
    assert missed(webhook) == 3


def test_a_replayed_delivery_has_all_its_retries_and_its_lifetime_again(run, wire, clock, do):
    webhook = subscribed(max_in_flight=1, happened=1)
    wire.answers = [500]
    run()
    disable(webhook, clock.now)
    sweeps.settle(clock.now)
    clock.advance(days=10)
    webhooks.enable(webhook, now=clock.now)
    do(JobKind.REPLAY_MISSED, webhook)

    delivery = webhook.deliveries.get()
    assert (delivery.status, delivery.attempts, delivery.charged) == ("pending", 1, 0)
    assert (delivery.reopened_at, delivery.priority, delivery.finished_at) == (clock.now, Priority.REPLAY, None)
    sweeps.give_up_old(clock.now)
    run()

    assert stored(delivery, "status", "attempts") == ("delivered", 2)
    assert [request.headers["tms-attempt"] for request in wire.requests] == ["1", "2"]
    assert len({request.headers["webhook-id"] for request in wire.requests}) == 1


def test_requests_in_flight_when_it_is_disabled_are_completed(alice, wire, clock, due):
    webhook = subscribed(max_in_flight=2)
    due(webhook, 2)
    good, bad = alice.claim()
    disable(webhook, clock.now)
    assert sweeps.settle(clock.now) == 0
    assert statuses(webhook) == ["pending"] * 2

    wire.answers = [200, 500]
    alice.write(alice.send(good), alice.send(bad))

    assert statuses(webhook) == ["delivered", "skipped"]
    assert missed(webhook) == 1


def test_deliveries_of_a_killed_worker_are_skipped_by_the_sweep_when_the_lease_is_over(alice, clock, due):
    webhook = subscribed(max_in_flight=2)
    due(webhook, 2)
    alice.claim()
    disable(webhook, clock.now)

    assert sweeps.settle(clock.advance(seconds=14)) == 0
    assert statuses(webhook) == ["pending"] * 2

    assert sweeps.settle(clock.advance(seconds=1)) == 2
    assert statuses(webhook) == ["skipped"] * 2


def test_what_a_worker_that_comes_back_after_that_has_sent_is_delivered_unless_another_has_leased_the_webhook(
    alice, clock, due
):
    webhook = subscribed()
    due(webhook, 1)
    (request,) = alice.claim()
    disable(webhook, clock.now)
    sweeps.settle(clock.advance(seconds=30))

    alice.write(alice.send(request))

    delivery = webhook.deliveries.get()
    assert (delivery.status, delivery.attempts) == ("delivered", 1)
    assert missed(webhook) == 0
