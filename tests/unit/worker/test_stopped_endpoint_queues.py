"""What waits is taken back, or waits on until its queue is resumed; what is in flight goes on."""

from __future__ import annotations

from tests.unit.worker.requests import a_request, is_empty, requests
from tms_webhooks.worker.endpoint_queues import EndpointQueues


def test_what_waits_is_taken_back_and_what_is_in_flight_is_not():
    queues = EndpointQueues()
    first, second, third = requests(3)
    other = a_request(2)
    queues.add([first, second, third, other])
    queues.take()

    assert queues.withdraw(1) == [second.delivery_id, third.delivery_id]

    assert queues.take() is other
    queues.done(first, 0.1)
    assert is_empty(queues)
    assert queues.withdraw(1) == []


def test_all_that_waits_is_taken_back():
    queues = EndpointQueues()
    waiting = [*requests(2, 1), *requests(2, 2)]
    queues.add(waiting)

    assert sorted(queues.withdraw()) == [one.delivery_id for one in waiting]

    assert (queues.held, is_empty(queues)) == (0, True)


def test_of_an_unknown_webhook_there_is_nothing_to_take_back():
    assert EndpointQueues().withdraw(7) == []


def test_after_a_withdrawal_what_is_offered_goes_out():
    queues = EndpointQueues()
    queues.add(requests(2))
    queues.withdraw(1)
    (one,) = requests(1)

    queues.add([one])

    assert queues.take() is one
    assert is_empty(queues)


def test_a_lane_that_is_halted_waits_until_it_is_resumed():
    queues = EndpointQueues()
    first, second = requests(2)
    queues.add([first, second])
    queues.take()
    queues.halt(1)
    queues.done(first, 0.1)
    assert is_empty(queues)

    queues.resume([1])

    assert queues.take() is second


def test_other_lanes_go_on():
    queues = EndpointQueues()
    other = a_request(2)
    queues.add([*requests(2, 1), other])
    queues.take()
    queues.halt(1)

    assert queues.take() is other


def test_a_lane_that_stood_ready_does_not_go_out_when_it_is_halted():
    queues = EndpointQueues()
    first, second = requests(2, concurrency=2)
    queues.add([first, second])
    queues.take()
    assert not is_empty(queues)

    queues.halt(1)

    assert is_empty(queues)
    queues.resume([1])
    assert queues.take() is second


def test_what_was_halted_twice_is_resumed_twice():
    queues = EndpointQueues()
    first, second, third = requests(3, concurrency=2)
    queues.add([first, second, third])
    for one in (queues.take(), queues.take()):
        queues.halt(1)
        queues.done(one, 0.1)

    queues.resume([1])
    assert is_empty(queues)
    queues.resume([1])

    assert queues.take() is third


def test_what_is_offered_to_a_lane_that_is_halted_waits_too():
    queues = EndpointQueues()
    (first,) = requests(1)
    queues.add([first])
    queues.take()
    queues.halt(1)
    queues.done(first, 0.1)

    queues.add(requests(1))

    assert is_empty(queues)
    assert queues.held == 1
