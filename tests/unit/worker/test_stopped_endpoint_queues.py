"""Waiting requests are withdrawn, or wait until their queue is resumed; requests in flight go on."""

from __future__ import annotations

from tests.unit.worker.requests import a_request, is_empty, requests
from tms_webhooks.worker.endpoint_queues import EndpointQueues


def test_waiting_requests_are_withdrawn_and_those_in_flight_are_not():
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


def test_all_waiting_requests_are_withdrawn():
    queues = EndpointQueues()
    waiting = [*requests(2, 1), *requests(2, 2)]
    queues.add(waiting)

    assert sorted(queues.withdraw()) == [one.delivery_id for one in waiting]

    assert (queues.held, is_empty(queues)) == (0, True)


def test_an_unknown_webhook_has_nothing_to_withdraw():
    assert EndpointQueues().withdraw(7) == []


def test_after_a_withdrawal_new_requests_go_out():
    queues = EndpointQueues()
    queues.add(requests(2))
    queues.withdraw(1)
    (one,) = requests(1)

    queues.add([one])

    assert queues.take() is one
    assert is_empty(queues)


def test_a_halted_queue_waits_until_it_is_resumed():
    queues = EndpointQueues()
    first, second = requests(2)
    queues.add([first, second])
    queues.take()
    queues.halt(1)
    queues.done(first, 0.1)
    assert is_empty(queues)

    queues.resume([1])

    assert queues.take() is second


def test_other_queues_go_on():
    queues = EndpointQueues()
    other = a_request(2)
    queues.add([*requests(2, 1), other])
    queues.take()
    queues.halt(1)

    assert queues.take() is other


def test_a_ready_queue_does_not_go_out_when_it_is_halted():
    queues = EndpointQueues()
    first, second = requests(2, concurrency=2)
    queues.add([first, second])
    queues.take()
    assert not is_empty(queues)

    queues.halt(1)

    assert is_empty(queues)
    queues.resume([1])
    assert queues.take() is second


def test_a_queue_halted_twice_is_resumed_twice():
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


def test_new_requests_of_a_halted_queue_wait_too():
    queues = EndpointQueues()
    (first,) = requests(1)
    queues.add([first])
    queues.take()
    queues.halt(1)
    queues.done(first, 0.1)

    queues.add(requests(1))

    assert is_empty(queues)
    assert queues.held == 1
