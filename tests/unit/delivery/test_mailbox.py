"""Results of many threads for one, which is not woken for each."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from tms_webhooks.delivery.mailbox import Mailbox

LONG = 10.0


def soon(act) -> threading.Timer:
    timer = threading.Timer(0.02, act)
    timer.start()
    return timer


def seconds_of(wait) -> float:
    start = time.monotonic()
    wait()
    return time.monotonic() - start


def test_results_come_in_their_order_and_no_more_than_are_asked_for():
    mailbox = Mailbox()
    for result in "abc":
        mailbox.put(result)

    assert (mailbox.take(2), len(mailbox)) == (["a", "b"], 1)
    assert (mailbox.take(2), mailbox.take(2), len(mailbox)) == (["c"], [], 0)


def test_who_waits_is_woken_by_a_result():
    mailbox = Mailbox()
    timer = soon(lambda: mailbox.put("a"))

    assert seconds_of(lambda: mailbox.wait(LONG)) < LONG / 2

    timer.join()
    assert mailbox.take(9) == ["a"]
    assert not mailbox.was_rung()


def test_a_result_that_is_there_is_not_waited_for():
    mailbox = Mailbox()
    mailbox.put("a")

    assert seconds_of(lambda: mailbox.wait(LONG)) < LONG / 2


def test_who_rests_is_not_woken_by_results():
    mailbox = Mailbox()
    timer = soon(lambda: mailbox.put("a"))

    assert seconds_of(lambda: mailbox.rest(0.1)) >= 0.09
    timer.join()


@pytest.mark.parametrize("how", ["wait", "rest"])
def test_a_ring_wakes_who_waits_and_who_rests(how):
    mailbox = Mailbox()
    timer = soon(mailbox.ring)

    assert seconds_of(lambda: getattr(mailbox, how)(LONG)) < LONG / 2

    timer.join()
    assert (mailbox.was_rung(), mailbox.was_rung()) == (True, False)


@pytest.mark.parametrize("how", ["wait", "rest"])
def test_a_ring_from_before_is_not_slept_through(how):
    mailbox = Mailbox()
    mailbox.ring()

    assert seconds_of(lambda: getattr(mailbox, how)(LONG)) < LONG / 2


def test_a_hundred_rings_are_one():
    mailbox = Mailbox()
    for _ in range(100):
        mailbox.ring()

    mailbox.rest(LONG)
    assert (mailbox.was_rung(), mailbox.was_rung()) == (True, False)
    assert seconds_of(lambda: mailbox.rest(0.1)) >= 0.09


@pytest.fixture
def signals():
    """A signal each half of a millisecond."""
    before = signal.signal(signal.SIGALRM, lambda number, frame: None)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("signals")
def test_signals_make_nobody_wait_longer():
    mailbox = Mailbox()
    rescue = threading.Timer(LONG / 2, mailbox.ring)
    rescue.start()

    for _ in range(200):
        mailbox.rest(0.002)

    rescue.cancel()
    assert not mailbox.was_rung()


def test_no_result_is_lost_between_many_threads():
    mailbox, found = Mailbox(), []
    threads = [threading.Thread(target=lambda: [mailbox.put(1) for _ in range(500)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + LONG
    while len(found) < 4000:
        assert time.monotonic() < end
        mailbox.wait(LONG)
        found += mailbox.take(256)
        mailbox.rest(0.001)
    for thread in threads:
        thread.join()

    assert len(mailbox) == 0
