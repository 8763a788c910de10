"""Threads that share the endpoint queues: none exceeds a concurrency, and none sleeps while a request is ready."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

from tests.unit.worker.requests import a_request, is_empty, requests
from tms_webhooks.worker.endpoint_queues import EndpointQueue, EndpointQueues


def test_threads_never_send_more_at_once_than_the_concurrency():
    queues = EndpointQueues()
    caps = {webhook_id: webhook_id % 5 + 1 for webhook_id in range(12)}
    in_flight, peaks, taken, lock = Counter(), Counter(), [], threading.Lock()

    def work() -> None:
        while (one := queues.take()) is not None:
            with lock:
                in_flight[one.webhook_id] += 1
                peaks[one.webhook_id] = max(peaks[one.webhook_id], in_flight[one.webhook_id])
                taken.append(one.delivery_id)
            if random.random() < 0.1:
                time.sleep(0.0005)
            with lock:
                in_flight[one.webhook_id] -= 1
            queues.done(one, 0.001)

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    offered = [a_request(webhook_id, concurrency=caps[webhook_id]) for _ in range(100) for webhook_id in caps]
    random.shuffle(offered)
    for start in range(0, len(offered), 50):
        queues.add(offered[start : start + 50])
    end = time.monotonic() + 20
    while queues.held and time.monotonic() < end:
        time.sleep(0.001)
    queues.close()
    for thread in threads:
        thread.join(5)

    assert sorted(taken) == sorted(one.delivery_id for one in offered)
    assert all(peaks[webhook_id] <= cap for webhook_id, cap in caps.items()), (peaks, caps)
    assert (queues.held, is_empty(queues)) == (0, True)


def test_no_request_is_handed_out_while_quiet_and_all_threads_go_on_afterwards():
    queues, taken = EndpointQueues(), []
    queues.add(requests(1, 1))
    in_flight = queues.take()

    def work() -> None:
        while (one := queues.take()) is not None:
            taken.append(one.webhook_id)

    threads = [threading.Thread(target=work) for _ in range(3)]
    with queues.quiet():
        for thread in threads:
            thread.start()
        queues.add([a_request(2), a_request(3)])
        # A request in flight goes on, and may free a slot for another.
        queues.add(requests(1, 1))
        queues.done(in_flight, 0.1)
        time.sleep(0.05)
        assert taken == []
    end = time.monotonic() + 5
    while len(taken) < 3 and time.monotonic() < end:
        time.sleep(0.001)
    queues.close()
    for thread in threads:
        thread.join(5)

    assert sorted(taken) == [1, 2, 3]


def test_threads_that_mostly_wait_for_receivers_need_not_be_quiet():
    queues = EndpointQueues()
    queues.add(requests(2))
    queues.done(queues.take(), 0.02, 0.001)

    with queues.quiet():
        assert queues.take() is not None


def test_no_thread_sleeps_while_a_request_is_ready():
    queues, done = EndpointQueues(), []

    def work() -> None:
        while (one := queues.take()) is not None:
            queues.done(one, 0.0)
            done.append(one)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 20
    for number in range(1, 2_001):
        # One at a time: if its one notification is lost, no thread takes it.
        queues.add([a_request(number % 3)])
        while len(done) < number:
            assert time.monotonic() < end, f"{len(done)} of {number} came"
            time.sleep(0)
    queues.close()
    for thread in threads:
        thread.join(5)

    assert len(done) == 2_000


def test_a_waiting_thread_counts_as_available():
    queues = EndpointQueues()
    thread = threading.Thread(target=queues.take)
    thread.start()
    end = time.monotonic() + 5
    while not queues._idle_threads:
        assert time.monotonic() < end
        time.sleep(0.001)
    with queues._changed:  # so that it can't wake up yet
        queue = queues._queues[1] = EndpointQueue()
        queue.requests.append(a_request(1))
        queues._ready.append(1)

    assert queues.missing_threads == 0

    queues._ready.clear()
    queues.close()
    thread.join(5)


def test_closing_ends_waiting_threads():
    queues, ended = EndpointQueues(), []
    threads = [threading.Thread(target=lambda: ended.append(queues.take())) for _ in range(4)]
    for thread in threads:
        thread.start()

    queues.close()
    for thread in threads:
        thread.join(5)

    assert ended == [None] * 4
    assert queues.take() is None
