"""Results of many threads for one reader, which is not woken for each."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from tms_webhooks.worker.sender_pool import ResultQueue

LONG = 10.0


def soon(act) -> threading.Timer:
    timer = threading.Timer(0.02, act)
    timer.start()
    return timer


def seconds_of(wait) -> float:
    start = time.monotonic()
    wait()
    return time.monotonic() - start


def test_results_come_in_their_order_and_no_more_than_asked_for():
    result_queue = ResultQueue()
    for result in "abc":
        result_queue.put(result)

    assert (result_queue.take(2), len(result_queue)) == (["a", "b"], 1)
    assert (result_queue.take(2), result_queue.take(2), len(result_queue)) == (["c"], [], 0)


def test_a_result_wakes_a_waiting_reader():
    result_queue = ResultQueue()
    timer = soon(lambda: result_queue.put("a"))

    assert seconds_of(lambda: result_queue.wait(LONG)) < LONG / 2

    timer.join()
    assert result_queue.take(9) == ["a"]
    assert not result_queue.was_woken()


def test_a_reader_does_not_wait_if_there_is_a_result():
    result_queue = ResultQueue()
    result_queue.put("a")

    assert seconds_of(lambda: result_queue.wait(LONG)) < LONG / 2


def test_a_result_does_not_end_a_pause():
    result_queue = ResultQueue()
    timer = soon(lambda: result_queue.put("a"))

    assert seconds_of(lambda: result_queue.pause(0.1)) >= 0.09
    timer.join()


@pytest.mark.parametrize("how", ["wait", "pause"])
def test_a_wake_up_ends_a_wait_and_a_pause(how):
    result_queue = ResultQueue()
    timer = soon(result_queue.wake)

    assert seconds_of(lambda: getattr(result_queue, how)(LONG)) < LONG / 2

    timer.join()
    assert (result_queue.was_woken(), result_queue.was_woken()) == (True, False)


@pytest.mark.parametrize("how", ["wait", "pause"])
def test_an_earlier_wake_up_ends_a_wait_and_a_pause(how):
    result_queue = ResultQueue()
    result_queue.wake()

    assert seconds_of(lambda: getattr(result_queue, how)(LONG)) < LONG / 2


def test_a_hundred_wake_ups_are_one():
    result_queue = ResultQueue()
    for _ in range(100):
        result_queue.wake()

    result_queue.pause(LONG)
    assert (result_queue.was_woken(), result_queue.was_woken()) == (True, False)
    assert seconds_of(lambda: result_queue.pause(0.1)) >= 0.09


@pytest.fixture
def signals():
    """A signal each half of a millisecond."""
    before = signal.signal(signal.SIGALRM, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("signals")
def test_signals_do_not_prolong_a_pause():
    result_queue = ResultQueue()
    rescue = threading.Timer(LONG / 2, result_queue.wake)
    rescue.start()

    for _ in range(200):
        result_queue.pause(0.002)

    rescue.cancel()
    assert not result_queue.was_woken()


def test_no_result_is_lost_between_many_threads():
    result_queue, found = ResultQueue(), []
    threads = [threading.Thread(target=lambda: [result_queue.put(1) for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + LONG
    while len(found) < 4000:
        assert time.monotonic() < end
        result_queue.wait(LONG)
        found += result_queue.take(256)
        result_queue.pause(0.001)
    for thread in threads:
        thread.join()

    assert len(result_queue) == 0
