"""The threads that send: as many as pay, and all of them end."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from queue import SimpleQueue

import pytest

from tests.unit.worker.requests import a_request, requests
from tms_webhooks.net.transports.base import Response
from tms_webhooks.worker import sender_pool
from tms_webhooks.worker.endpoint_queues import EndpointQueues
from tms_webhooks.worker.sender_pool import BUSY_PAUSE, BUSY_PAUSE_EACH, FIRST_THREADS, SenderPool, may_stop_webhook

NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)


class Line:
    """Stands in for the client: answers when the test lets it."""

    def __init__(self, *, status: int = 200, headers: dict[str, str] | None = None, is_open: bool = True) -> None:
        self.status = status
        self.headers = headers or {}
        self.gate = threading.Event()
        self.sending = 0
        if is_open:
            self.gate.set()

    def send(self, request) -> Response:
        self.sending += 1
        assert self.gate.wait(10)
        return Response(status=self.status, headers=self.headers, body=b"", truncated=False, elapsed=0.01)


@pytest.fixture
def pool(monkeypatch):
    """Make senders with their queues and result queue; the processor has time to spare."""
    made = []

    def pool(line: Line, *, max_threads: int = 64):
        queues, result_queue = EndpointQueues(), SimpleQueue()
        senders = SenderPool(
            queues=queues, client=line, clock=lambda: NOW, result_queue=result_queue, max_threads=max_threads
        )
        monkeypatch.setattr(senders, "_is_processor_busy", lambda: False)
        monkeypatch.setattr(sender_pool, "MEASURED_OVER", 0.0)
        made.append((line, senders))
        return queues, result_queue, senders

    yield pool
    for line, senders in made:
        line.gate.set()
        senders.stop()


def wait_for(condition) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_without_work_there_are_no_threads(pool):
    _queues, _result_queue, senders = pool(Line())

    senders.grow()

    assert senders._threads == []


def test_there_are_no_more_threads_than_webhooks_with_something_to_send(pool):
    queues, result_queue, senders = pool(Line(is_open=False))
    queues.add(requests(10))

    for _ in range(5):
        senders.grow()

    wait_for(lambda: queues.missing_threads == 0)
    assert len(senders._threads) == 1
    assert result_queue.empty()


def test_they_grow_to_twice_as_many_at_a_time(pool):
    line = Line(is_open=False)
    queues, _result_queue, senders = pool(line)
    queues.add(a_request(number) for number in range(40))
    sizes = []
    for _ in range(5):
        senders.grow()
        sizes.append(len(senders._threads))
        wait_for(lambda: line.sending == sizes[-1])

    assert sizes == [FIRST_THREADS, 4, 8, 16, 32]


def test_they_grow_up_to_the_most(pool):
    line = Line(is_open=False)
    queues, _result_queue, senders = pool(line, max_threads=5)
    queues.add(a_request(number) for number in range(40))
    for _ in range(10):
        senders.grow()

    wait_for(lambda: line.sending == 5)
    assert len(senders._threads) == 5


def test_where_the_processor_is_the_limit_they_grow_no_further(pool, monkeypatch):
    line = Line(is_open=False)
    queues, _result_queue, senders = pool(line)
    queues.add(a_request(number) for number in range(40))
    monkeypatch.setattr(senders, "_is_processor_busy", lambda: True)
    for _ in range(5):
        senders.grow()

    wait_for(lambda: line.sending == FIRST_THREADS)
    assert len(senders._threads) == FIRST_THREADS


@pytest.mark.parametrize(("many", "pause"), [(FIRST_THREADS, FIRST_THREADS * BUSY_PAUSE_EACH), (32, BUSY_PAUSE)])
def test_a_busy_processor_is_measured_again_later_and_soon_with_few_threads(pool, monkeypatch, many, pause):
    line = Line(is_open=False)
    queues, _result_queue, senders = pool(line)
    queues.add(a_request(number) for number in range(40))
    while len(senders._threads) < many:
        senders.grow()
    now, measured = [time.monotonic() + 1.0], []
    monkeypatch.setattr(sender_pool, "monotonic", lambda: now[0])
    monkeypatch.setattr(senders, "_is_processor_busy", lambda: measured.append(now[0]) or True)
    begun_at = now[0]
    for share in (0.0, 0.9, 1.1):
        now[0] = begun_at + share * pause
        senders.grow()
        senders.grow()

    assert measured == [begun_at, now[0]]


def test_a_thread_that_could_not_be_started_is_not_waited_for(pool, monkeypatch):
    queues, _result_queue, senders = pool(Line())
    queues.add(requests(1))

    class Refusing(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(sender_pool.threading, "Thread", Refusing)
        with pytest.raises(RuntimeError, match="can't start new thread"):
            senders.grow()

    assert senders._threads == []


def test_every_request_comes_back_once(pool):
    queues, result_queue, senders = pool(Line())
    sent = [a_request(number % 7, concurrency=3) for number in range(500)]
    queues.add(sent)
    results = []
    while len(results) < 500:
        senders.grow()
        results.append(result_queue.get(timeout=10))

    assert sorted(result.request.delivery_id for result in results) == [one.delivery_id for one in sent]
    wait_for(lambda: queues.held == 0)
    assert result_queue.empty()


def test_a_request_is_always_held_or_has_a_result(pool):
    queues, result_queue, senders = pool(Line())
    for _ in range(300):
        queues.add(requests(1))
        senders.grow()
        while not result_queue.qsize():
            # In this order: what moves from the one to the other is seen twice, never not at all.
            assert queues.held + result_queue.qsize()
        result_queue.get(timeout=10)
        wait_for(lambda: queues.held == 0)


def test_a_result_is_in_the_result_queue_before_its_request_is_done_and_after_its_queue_is_halted(pool):
    queues, result_queue, senders = pool(Line(status=500))
    seen = []

    class Watching:
        def put(self, result) -> None:
            seen.append((queues.held, queues._queues[1].halts))
            result_queue.put(result)

    senders._result_queue = Watching()
    queues.add(requests(1))
    senders.grow()
    result_queue.get(timeout=10)

    assert seen == [(1, 1)]


@pytest.mark.parametrize(
    ("status", "headers", "is_halted"),
    [(200, {}, False), (500, {}, True), (410, {}, True), (200, {"webhook-delivery": "disable"}, True)],
)
def test_after_a_failure_or_a_request_to_disable_nothing_more_goes_out_until_it_is_written(
    pool, status, headers, is_halted
):
    line = Line(status=status, headers=headers)
    queues, result_queue, senders = pool(line)
    queues.add(requests(10))
    senders.grow()
    result = result_queue.get(timeout=10)

    assert may_stop_webhook(result) is is_halted
    if is_halted:
        wait_for(lambda: queues.held == 9)
        time.sleep(0.02)  # for one too many to go out
        assert (line.sending, result_queue.qsize()) == (1, 0)
        queues.resume([1])
        result_queue.get(timeout=10)
    else:
        wait_for(lambda: queues.held == 0)
        assert line.sending == 10


def test_stopping_waits_for_requests_in_flight(pool):
    line = Line(is_open=False)
    queues, result_queue, senders = pool(line)
    queues.add(requests(1))
    senders.grow()
    wait_for(lambda: line.sending == 1)
    threading.Timer(0.05, line.gate.set).start()

    senders.stop()

    assert result_queue.qsize() == 1
    assert not any(thread.is_alive() for thread in senders._threads)


def test_stopping_ends_waiting_threads(pool):
    queues, result_queue, senders = pool(Line())
    queues.add(requests(1))
    senders.grow()
    result_queue.get(timeout=10)

    senders.stop()

    assert not any(thread.is_alive() for thread in senders._threads)


def test_a_busy_processor_is_measured_over_a_while(monkeypatch):
    senders = SenderPool(
        queues=EndpointQueues(), client=Line(), clock=lambda: NOW, result_queue=SimpleQueue(), max_threads=1
    )
    moments = {"wall": 10.0, "used": 1.0}
    monkeypatch.setattr(sender_pool, "monotonic", lambda: moments["wall"])
    monkeypatch.setattr(sender_pool, "cpu_seconds_wanted", lambda: moments["used"])
    senders._measured_at, senders._cpu_seconds = 10.0, 1.0

    assert senders._is_processor_busy()  # too soon to know
    moments.update(wall=11.0, used=1.5)
    assert not senders._is_processor_busy()
    moments.update(wall=12.0, used=2.4)
    assert senders._is_processor_busy()


def slow(queues: EndpointQueues, seconds: float, work: float) -> None:
    """Have a request take so many seconds, and so much CPU time."""
    queues.add([a_request(99)])
    queues.done(queues.take(), seconds, work)


@pytest.mark.parametrize(
    ("seconds", "work", "worth"), [(0.02, 0.001, 19), (0.02, 0.0004, 40), (0.02, 0.02, FIRST_THREADS)]
)
def test_for_slow_receivers_there_are_as_many_as_the_processor_serves(pool, monkeypatch, seconds, work, worth):
    line = Line(is_open=False)
    queues, _result_queue, senders = pool(line)
    monkeypatch.setattr(senders, "_is_processor_busy", lambda: True)
    slow(queues, seconds, work)
    queues.add(a_request(number) for number in range(40))
    for _ in range(3):
        senders.grow()

    wait_for(lambda: line.sending == worth)
    assert len(senders._threads) == worth


def test_receivers_that_hang_leave_threads_for_the_others(pool):
    line = Line(is_open=False)
    queues, _result_queue, senders = pool(line)
    slow(queues, 0.02, 0.02)
    queues.add(a_request(number) for number in range(20))
    for _ in range(6):
        senders.grow()

    wait_for(lambda: line.sending == 20)


def test_a_sender_starts_others_while_the_drain_is_in_the_database(pool):
    class Slow(Line):
        def send(self, request) -> Response:
            time.sleep(0.01)
            return super().send(request)

    queues, _result_queue, senders = pool(Slow())
    queues.add(a_request(number % 30) for number in range(300))
    senders.grow()

    wait_for(lambda: queues.held == 0)

    assert len(senders._threads) > FIRST_THREADS
