"""The order in which claimed requests go out, within each webhook's concurrency."""

from __future__ import annotations

from tests.unit.worker.requests import a_request, is_empty, requests
from tms_webhooks.worker.endpoint_queues import EndpointQueues


def test_no_more_go_out_than_the_concurrency_and_the_next_when_one_is_back():
    queues = EndpointQueues()
    first, second, third = requests(3, concurrency=2)
    queues.add([first, second, third])

    assert [queues.take(), queues.take()] == [first, second]
    assert is_empty(queues)
    queues.done(first, 0.1)
    assert queues.take() is third
    assert is_empty(queues)


def test_webhooks_take_turns():
    queues = EndpointQueues()
    queues.add([*requests(3, 1, concurrency=3), *requests(3, 2, concurrency=3), *requests(1, 3, concurrency=3)])

    assert [queues.take().webhook_id for _ in range(7)] == [1, 2, 3, 1, 2, 1, 2]


def test_a_new_concurrency_holds_from_the_next_claim():
    queues = EndpointQueues()
    queues.add(requests(4, concurrency=1))
    first = queues.take()
    assert is_empty(queues)
    queues.add([a_request(concurrency=3)])
    assert [queues.take() is not None for _ in range(2)] == [True, True]
    assert is_empty(queues)

    queues.add([a_request(concurrency=1)])
    queues.done(first, 0.1)

    assert is_empty(queues)


def test_waiting_requests_are_handed_out_after_closing():
    queues = EndpointQueues()
    (one,) = requests(1)
    queues.add([one])
    queues.close()

    assert queues.take() is one
    assert queues.take() is None
