"""At how much of what is due a drain looks, and when."""

from __future__ import annotations

import pytest

from tms_webhooks.worker.polling import EVENTS_PAUSE, EVERYTHING_PAUSE, FEW_EVENTS, Polling, PollScope

ROOM = 512
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
def pace(seconds):
    """One whose last look found more than could be sent, for the busy webhook among others."""
    pace = Polling(clock=seconds)
    assert pace.look() is PollScope.EVERYTHING
    pace.claimed(3, {BUSY}, is_all=False, room=ROOM)
    return pace


def test_where_little_is_due_each_look_is_at_everything(seconds):
    pace = Polling(clock=seconds)
    pace.look()
    pace.claimed(0, (), is_all=True, room=ROOM)
    assert pace.look() is PollScope.EVERYTHING


def test_where_much_waits_in_vain_a_few_new_events_have_only_what_is_new_looked_at(pace):
    assert pace.look() is PollScope.NOTHING

    pace.found_events(1)
    assert pace.look() is PollScope.NEW

    pace.claimed(1, (), is_all=True, room=ROOM)
    assert pace.look() is PollScope.NOTHING


def test_everything_is_looked_at_again_soon(pace, seconds):
    seconds.now += 2 * EVERYTHING_PAUSE
    assert pace.look() is PollScope.EVERYTHING


def test_then_what_is_new_comes_first_but_not_time_after_time(pace, seconds):
    seconds.now += 2 * EVERYTHING_PAUSE
    looks = []
    for _ in range(4):
        pace.found_events(1)
        looks.append(pace.look())
        pace.claimed(1, (), is_all=False, room=ROOM)
        seconds.now += 2 * EVERYTHING_PAUSE

    assert looks == [PollScope.NEW, PollScope.EVERYTHING, PollScope.NEW, PollScope.EVERYTHING]


def test_many_new_events_have_everything_looked_at(pace):
    pace.found_events(FEW_EVENTS + 1)
    assert pace.look() is PollScope.EVERYTHING


@pytest.mark.parametrize(("webhook", "look"), [(HEALTHY, PollScope.NOTHING), (BUSY, PollScope.EVERYTHING)])
def test_a_result_makes_room_for_more_of_a_webhook_that_had_none(pace, webhook, look):
    pace.wrote([webhook])
    assert pace.look() is look


def test_what_is_new_may_find_no_room_either(pace):
    pace.found_events(1)
    pace.look()
    pace.claimed(0, {HEALTHY}, is_all=True, room=ROOM)
    pace.wrote([HEALTHY])
    assert pace.look() is PollScope.EVERYTHING


def test_while_there_is_more_than_was_taken_everything_is_looked_at(pace, seconds):
    seconds.now += 2 * EVERYTHING_PAUSE
    pace.look()
    pace.claimed(ROOM, (), is_all=False, room=ROOM)
    assert pace.look() is PollScope.EVERYTHING


def test_who_must_know_that_nothing_is_left_looks_at_everything(pace):
    pace.is_thorough = True
    assert pace.look() is PollScope.EVERYTHING


def test_nobody_rests_long_on_a_look_that_was_not_at_everything(pace, seconds):
    assert pace.look() is PollScope.NOTHING
    assert pace.rest == EVERYTHING_PAUSE

    seconds.now += 2 * EVERYTHING_PAUSE
    pace.look()
    assert pace.rest == float("inf")


@pytest.mark.parametrize(("events", "due", "looks"), [(1, 1, False), (FEW_EVENTS + 1, 1, True), (1, ROOM // 2, True)])
def test_where_there_were_many_new_events_or_deliveries_there_may_be_more(seconds, events, due, looks):
    pace = Polling(clock=seconds)
    pace.found_events(events)
    pace.look()
    pace.claimed(due, (), is_all=True, room=ROOM)
    assert pace.looks_for_events(is_idle=False) is looks


def test_with_plenty_to_send_new_events_wait_a_little(pace, seconds):
    seconds.now += 2 * EVERYTHING_PAUSE
    pace.look()
    pace.claimed(ROOM, (), is_all=False, room=ROOM)
    pace.found_events(1)
    assert not pace.looks_for_events(is_idle=False)
    assert pace.looks_for_events(is_idle=True)

    seconds.now += 2 * EVENTS_PAUSE
    assert pace.looks_for_events(is_idle=False)
