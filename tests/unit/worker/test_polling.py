"""How much of the due deliveries a drain reads, and when."""

from __future__ import annotations

import pytest

from tms_webhooks.worker.polling import EVENTS_PAUSE, EVERYTHING_PAUSE, FEW_EVENTS, Polling, PollScope

LIMIT = 512
HEALTHY, BUSY = 1, 2


class Seconds:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds():
    return Seconds()


@pytest.fixture
def polling(seconds):
    """One whose last claim found more due than could be sent, for the busy webhook among others."""
    polling = Polling(clock=seconds)
    assert polling.next_scope() is PollScope.EVERYTHING
    polling.claimed(3, {BUSY}, is_complete=False, limit=LIMIT)
    return polling


def test_where_little_is_due_each_claim_reads_everything(seconds):
    polling = Polling(clock=seconds)
    polling.next_scope()
    polling.claimed(0, (), is_complete=True, limit=LIMIT)
    assert polling.next_scope() is PollScope.EVERYTHING


def test_where_much_is_blocked_a_few_new_events_have_only_new_deliveries_read(polling):
    assert polling.next_scope() is PollScope.NOTHING

    polling.events_polled(1)
    assert polling.next_scope() is PollScope.NEW

    polling.claimed(1, (), is_complete=True, limit=LIMIT)
    assert polling.next_scope() is PollScope.NOTHING


def test_everything_is_read_again_soon(polling, seconds):
    seconds.now += 2 * EVERYTHING_PAUSE
    assert polling.next_scope() is PollScope.EVERYTHING


def test_then_new_deliveries_come_first_but_only_once(polling, seconds):
    seconds.now += 2 * EVERYTHING_PAUSE
    scopes = []
    for _ in range(4):
        polling.events_polled(1)
        scopes.append(polling.next_scope())
        polling.claimed(1, (), is_complete=False, limit=LIMIT)
        seconds.now += 2 * EVERYTHING_PAUSE

    assert scopes == [PollScope.NEW, PollScope.EVERYTHING, PollScope.NEW, PollScope.EVERYTHING]


def test_many_new_events_have_everything_read(polling):
    polling.events_polled(FEW_EVENTS + 1)
    assert polling.next_scope() is PollScope.EVERYTHING


@pytest.mark.parametrize(("webhook", "scope"), [(HEALTHY, PollScope.NOTHING), (BUSY, PollScope.EVERYTHING)])
def test_a_result_frees_capacity_of_a_full_webhook(polling, webhook, scope):
    polling.results_written([webhook])
    assert polling.next_scope() is scope


def test_new_deliveries_may_find_a_full_webhook_too(polling):
    polling.events_polled(1)
    polling.next_scope()
    polling.claimed(0, {HEALTHY}, is_complete=True, limit=LIMIT)
    polling.results_written([HEALTHY])
    assert polling.next_scope() is PollScope.EVERYTHING


def test_while_more_is_due_than_was_claimed_everything_is_read(polling, seconds):
    seconds.now += 2 * EVERYTHING_PAUSE
    polling.next_scope()
    polling.claimed(LIMIT, (), is_complete=False, limit=LIMIT)
    assert polling.next_scope() is PollScope.EVERYTHING


def test_a_drain_that_ends_when_idle_reads_everything(polling):
    polling.always_everything = True
    assert polling.next_scope() is PollScope.EVERYTHING


def test_the_wait_is_short_after_a_claim_that_did_not_read_everything(polling, seconds):
    assert polling.next_scope() is PollScope.NOTHING
    assert polling.longest_wait == EVERYTHING_PAUSE

    seconds.now += 2 * EVERYTHING_PAUSE
    polling.next_scope()
    assert polling.longest_wait == float("inf")


@pytest.mark.parametrize(("events", "due", "scopes"), [(1, 1, False), (FEW_EVENTS + 1, 1, True), (1, LIMIT // 2, True)])
def test_after_many_new_events_or_deliveries_more_are_expected(seconds, events, due, scopes):
    polling = Polling(clock=seconds)
    polling.events_polled(events)
    polling.next_scope()
    polling.claimed(due, (), is_complete=True, limit=LIMIT)
    assert polling.should_poll_events(is_idle=False) is scopes


def test_a_saturated_drain_lets_new_events_wait_a_little(polling, seconds):
    seconds.now += 2 * EVERYTHING_PAUSE
    polling.next_scope()
    polling.claimed(LIMIT, (), is_complete=False, limit=LIMIT)
    polling.events_polled(1)
    assert not polling.should_poll_events(is_idle=False)
    assert polling.should_poll_events(is_idle=True)

    seconds.now += 2 * EVENTS_PAUSE
    assert polling.should_poll_events(is_idle=False)
