"""The time that is shown as that of the next attempt is the time at which a worker claims the delivery."""

from datetime import timedelta

import pytest

from tests.factories import write_values
from tests.integration.delivery.rows import subscribed, write, write_delivery
from tms_webhooks.choices import Priority

MINUTE = timedelta(minutes=1)
RETRY = {"status": "waiting", "attempts": 1, "charged": 1}
LIFETIME = timedelta(days=7)


@pytest.fixture
def written(clock):
    """Write a delivery; times are minutes from the current time."""

    def written(webhook, delivery):
        def at_times(values):
            names = ("due_at", "paused_until", "held_until", "created_at", "reopened_at", "deleted_at")
            return {
                name: clock.now + value * MINUTE if name in names and value is not None else value
                for name, value in values.items()
            }

        made = subscribed()
        write_values(made, **at_times(webhook))
        return write_delivery(made, now=clock.now, **at_times(delivery))

    return written


@pytest.mark.parametrize(
    "webhook, delivery, minutes",
    [
        ({}, {"due_at": 5}, 5),
        ({"paused_until": 10}, {"due_at": 5}, 10),
        ({"paused_until": 3}, {"due_at": 5}, 5),
        ({"held_until": 10}, {"due_at": 5}, 10),
        ({"held_until": 10, "paused_until": 20}, {"due_at": 5}, 20),
        ({"paused_until": 10}, {"due_at": 5, **RETRY}, 5),
        ({"held_until": 10, "paused_until": 20}, {"due_at": 5, **RETRY}, 10),
        ({"paused_until": 10}, {"due_at": 5, "priority": Priority.REPLAY}, 10),
        ({"held_until": 10, "paused_until": 10}, {"due_at": 5, "priority": Priority.MANUAL}, 5),
        ({"enabled": False}, {"due_at": 5, "priority": Priority.MANUAL}, 5),
        ({"paused_until": 10}, {"due_at": -1}, 10),
        ({"paused_until": 10}, {"due_at": 5, "attempts": 2}, 10),
    ],
)
def test_a_worker_claims_it_at_this_time_and_not_before(alice, clock, written, webhook, delivery, minutes):
    one = written(webhook, delivery)
    at = one.next_attempt_at(now=clock.now)

    assert at == clock.now + minutes * MINUTE
    clock.now = at - timedelta(seconds=1)
    assert alice.claim() == []
    clock.now = at
    assert [request.delivery_id for request in alice.claim()] == [one.pk]


@pytest.mark.parametrize(
    "webhook, delivery",
    [
        ({}, {"due_at": None, "status": "delivered", "finished_at": None}),
        ({"enabled": False}, {"due_at": 0}),
        ({"enabled": False}, {"due_at": 0, **RETRY}),
        ({"deleted_at": 0}, {"due_at": 0, "priority": Priority.MANUAL}),
        ({"pull_only": True, "url": ""}, {"due_at": 0}),
    ],
)
def test_without_a_next_attempt_there_is_no_time_and_nothing_is_claimed(alice, clock, written, webhook, delivery):
    one = written(webhook, delivery)

    assert one.next_attempt_at(now=clock.now) is None
    assert alice.claim() == []


def test_one_that_is_due_has_been_since_then(clock, written):
    one = written({}, {"due_at": -3})

    assert one.next_attempt_at(now=clock.now) == one.due_at


def test_one_that_is_given_up_before_has_no_next_attempt(clock, written):
    one = written({"paused_until": 10}, {"due_at": 5, "created_at": 0})
    write(one, created_at=clock.now - LIFETIME + 10 * MINUTE)
    one.refresh_from_db()

    assert one.next_attempt_at(now=clock.now) is None
    assert one.expires_at() == clock.now + 10 * MINUTE


def test_a_replay_begins_its_life_anew(clock, written):
    one = written({}, {"due_at": 0, "created_at": -10_000, "reopened_at": -10})

    assert one.expires_at() == clock.now - 10 * MINUTE + LIFETIME


def test_a_finished_one_does_not_expire(clock, written):
    assert written({}, {"due_at": None, "status": "failed"}).expires_at() is None
