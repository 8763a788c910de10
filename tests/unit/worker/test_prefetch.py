"""How much a worker holds of a webhook, and how much of it is worth holding."""

from __future__ import annotations

import pytest

from tests.unit.worker.requests import a_request, requests
from tms_webhooks.worker import endpoint_queues
from tms_webhooks.worker.endpoint_queues import MAX_PREFETCH, PREFETCH_SECONDS, EndpointQueues


@pytest.fixture
def clock(monkeypatch):
    """The machine's clock, moved by hand."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(endpoint_queues, "monotonic", lambda: Clock.now)
    return Clock


def test_what_waits_and_what_is_in_flight_is_held():
    queues = EndpointQueues()
    queues.add(requests(3, concurrency=2))
    assert queues.held == 3
    first, second = queues.take(), queues.take()
    assert queues.held == 3

    queues.done(first, 0.1)
    assert queues.held == 2
    queues.withdraw()
    assert queues.held == 1
    queues.done(second, 0.1)
    assert queues.held == 0


def test_what_could_go_out_now_is_missing_threads():
    queues = EndpointQueues()
    assert queues.missing_threads == 0
    queues.add([*requests(5, 1, concurrency=2), a_request(2)])
    assert queues.missing_threads == 3

    queues.take()
    queues.take()

    assert queues.missing_threads == 1  # one more of the first
    queues.take()
    assert queues.missing_threads == 0


def test_of_an_unknown_receiver_no_more_is_held_than_is_sent_at_once():
    assert EndpointQueues().prefetch(1, 4) == 4


@pytest.mark.parametrize(
    ("seconds", "rounds"),
    [
        (0.001, MAX_PREFETCH),
        (0.0, MAX_PREFETCH),
        (0.01, 10),
        (0.03, 3),
        (0.05, 2),
        (0.06, 1),
        (PREFETCH_SECONDS, 1),
        (5.0, 1),
    ],
)
def test_of_a_quick_one_as_much_as_it_takes_in_a_moment(seconds, rounds):
    queues = EndpointQueues()
    (one,) = requests(1)
    queues.add([one])
    queues.done(queues.take(), seconds)

    assert queues.prefetch(1, 3) == 3 * rounds


def test_its_pace_is_that_of_the_last_few(clock):
    queues = EndpointQueues()
    for seconds in (0.01, 1.0, 1.0):
        queues.add(requests(1))
        queues.done(queues.take(), seconds)
    assert queues.prefetch(1, 1) == 1

    for _ in range(12):
        queues.add(requests(1))
        queues.done(queues.take(), 0.01)

    assert queues.prefetch(1, 1) > 4


def test_of_a_quick_one_that_is_stuck_now_no_more_than_is_sent_at_once(clock):
    queues = EndpointQueues()
    queues.add(requests(2))
    queues.done(queues.take(), 0.001)
    queues.take()
    assert queues.prefetch(1, 2) == 2 * MAX_PREFETCH

    clock.now += PREFETCH_SECONDS + 0.001

    assert queues.prefetch(1, 2) == 2


def test_a_pause_in_which_nothing_was_in_flight_is_no_sign_of_being_stuck(clock):
    queues = EndpointQueues()
    queues.add(requests(2))
    queues.done(queues.take(), 0.001)
    clock.now += 60.0
    queues.take()

    assert queues.prefetch(1, 2) == 2 * MAX_PREFETCH
