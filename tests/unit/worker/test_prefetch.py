"""How many requests of a webhook a worker holds, and how many are worth holding."""

from __future__ import annotations

import pytest

from tests.unit.worker.requests import a_request, requests
from tms_webhooks.worker import endpoint_queues
from tms_webhooks.worker.endpoint_queues import MAX_PREFETCH, PREFETCH_SECONDS, EndpointQueues


@pytest.fixture
def clock(monkeypatch):
    """The machine's clock, moved by the test."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(endpoint_queues, "monotonic", lambda: Clock.now)
    return Clock


def test_waiting_requests_and_those_in_flight_are_held():
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


def test_requests_that_could_go_out_now_are_missing_threads():
    queues = EndpointQueues()
    assert queues.missing_threads == 0
    queues.add([*requests(5, 1, concurrency=2), a_request(2)])
    assert queues.missing_threads == 3

    queues.take()
    queues.take()

    assert queues.missing_threads == 1  # one more of the first
    queues.take()
    assert queues.missing_threads == 0


def test_an_unknown_receiver_gets_no_prefetch():
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
def test_a_quick_receiver_gets_as_much_as_it_takes_in_a_moment(seconds, rounds):
    queues = EndpointQueues()
    (one,) = requests(1)
    queues.add([one])
    queues.done(queues.take(), seconds)

    assert queues.prefetch(1, 3) == 3 * rounds


def test_its_speed_is_that_of_the_last_few_requests(clock):
    queues = EndpointQueues()
    for seconds in (0.01, 1.0, 1.0):
        queues.add(requests(1))
        queues.done(queues.take(), seconds)
    assert queues.prefetch(1, 1) == 1

    for _ in range(12):
        queues.add(requests(1))
        queues.done(queues.take(), 0.01)

    assert queues.prefetch(1, 1) > 4


def test_a_quick_receiver_that_is_stuck_gets_no_prefetch(clock):
    queues = EndpointQueues()
    queues.add(requests(2))
    queues.done(queues.take(), 0.001)
    queues.take()
    assert queues.prefetch(1, 2) == 2 * MAX_PREFETCH

    clock.now += PREFETCH_SECONDS + 0.001

    assert queues.prefetch(1, 2) == 2


def test_a_time_without_requests_is_no_sign_of_being_stuck(clock):
    queues = EndpointQueues()
    queues.add(requests(2))
    queues.done(queues.take(), 0.001)
    clock.now += 60.0
    queues.take()

    assert queues.prefetch(1, 2) == 2 * MAX_PREFETCH
