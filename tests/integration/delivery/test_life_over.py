"""A delivery that is older than its life is given up, also where no worker ever comes for it."""

from datetime import timedelta

import pytest

from tests import sweeps
from tests.integration.delivery.rows import stored, subscribed, write, write_delivery
from tms_webhooks import signals, tasks
from tms_webhooks.delivery import sweep
from tms_webhooks.models import Delivery

WEEK = timedelta(days=7)
INSTANT = timedelta(microseconds=1)


@pytest.fixture
def paused(clock):
    """Make a webhook that is paused for a day."""

    def paused(**fields):
        webhook = subscribed(**fields)
        until = clock.now + timedelta(days=1)
        write(webhook, paused_until=until, failures=9, pauses=5, failing_since=clock.now)
        return webhook

    return paused


def aged(webhook, clock, age, **values):
    """Write a delivery of this age that is due."""
    return write_delivery(webhook, now=clock.now, created_at=clock.now - age, **values)


@pytest.fixture
def finished():
    """The deliveries of the signal: (delivery, status)."""
    finished_ones = []

    def listen(sender, delivery_id, status, **facts):
        finished_ones.append((delivery_id, status))

    signals.delivery_finished.connect(listen, sender=Delivery)
    yield finished_ones
    signals.delivery_finished.disconnect(listen, sender=Delivery)


@pytest.mark.parametrize("age, given_up", [(WEEK + INSTANT, True), (WEEK, False), (timedelta(days=1), False)])
def test_a_delivery_that_waits_for_a_pause_is_given_up_after_its_lifetime(
    paused, clock, finished, heard, age, given_up
):
    webhook = paused()
    delivery = aged(webhook, clock, age)

    assert sweeps.give_up_old(clock.now) == int(given_up)

    delivery.refresh_from_db()
    if given_up:
        assert (delivery.status, delivery.due_at, delivery.finished_at) == ("exhausted", None, clock.now)
        assert finished == [(delivery.pk, "exhausted")]
        assert [(name, facts["message"]) for name, facts in heard] == [
            ("exhausted", "not delivered within 7 days, 0:00:00")
        ]
    else:
        assert (delivery.status, finished, heard) == ("pending", [], [])
    assert (delivery.attempts, delivery.charged) == (0, 0)


def test_the_setting_says_how_long_a_life_is(settings_of_app, paused, clock):
    settings_of_app(DELIVERY_LIFETIME_SECONDS=3_600)
    webhook = paused()
    old, young = (aged(webhook, clock, timedelta(minutes=minutes)) for minutes in (61, 59))

    assert sweeps.give_up_old(clock.now) == 1

    assert list(Delivery.objects.open()) == [young]
    assert Delivery.objects.get(status="exhausted") == old


def test_a_delivery_that_is_given_up_in_flight_is_delivered_if_its_receiver_accepts_it(alice, clock):
    webhook = subscribed()
    delivery = aged(webhook, clock, 2 * WEEK)
    (request,) = alice.claim()

    assert sweeps.give_up_old(clock.now) == 1
    alice.write(alice.send(request))

    assert stored(delivery, "status") == "delivered"


def test_more_than_a_batch_is_given_up_in_one_run(monkeypatch, paused, clock, finished):
    monkeypatch.setattr(sweep, "BATCH", 3)
    webhook = paused()
    for _ in range(8):
        aged(webhook, clock, 2 * WEEK)
    finished_before = aged(webhook, clock, 2 * WEEK, status="skipped", due_at=None, finished_at=clock.now)

    assert sweeps.give_up_old(clock.now) == 8

    assert len(finished) == len(set(finished)) == 8
    assert not Delivery.objects.open().exists()
    assert Delivery.objects.exclude(status="exhausted").get() == finished_before


def test_the_error_action_is_applied_to_deliveries_that_are_given_up(paused, clock):
    webhook = paused(error_action="disable")
    aged(webhook, clock, 2 * WEEK)
    young = aged(webhook, clock, timedelta(days=1))

    sweeps.give_up_old(clock.now)
    sweeps.settle(clock.now)

    assert stored(webhook, "enabled", "disabled_reason") == (False, "failing")
    assert stored(young, "status") == "skipped"


def test_the_regular_task_gives_up_before_it_prunes(paused, clock):
    webhook = paused()
    delivery = aged(webhook, clock, 2 * WEEK)

    tasks.prune()

    assert stored(delivery, "status") == "exhausted"
