"""How many requests of one webhook are in flight, for receivers that are simulated."""

import heapq
from itertools import count

import pytest

from tms_webhooks.worker.endpoint_queues import AdaptiveLimit

# Whether a receiver answers well: a success, a failure that says nothing about its load, or one that says it has too much.
GOOD, FAILED, OVERLOADED = "good", "failed", "overloaded"


class Receiver:
    """Keeps as many requests in flight as a limit allows, and notes how many they were."""

    def __init__(self, serve, *, ceiling=32):
        self.limit = AdaptiveLimit()
        self.ceiling = ceiling
        self.now = 0.0
        self.most = 0
        self.limits = []
        self.serve = serve
        self._in_flight = []
        self._numbers = count()

    def answer(self, number):
        """Let so many answers come."""
        for _ in range(number):
            while len(self._in_flight) < min(self.limit.limit, self.ceiling):
                seconds, kind = self.serve(self.now)
                heapq.heappush(self._in_flight, (self.now + seconds, next(self._numbers), self.now, kind))
            self.most = max(self.most, len(self._in_flight))
            self.now, _number, started_at, kind = self._in_flight[0]
            self.limit.answered(
                self.now - started_at,
                is_success=kind == GOOD,
                is_overloaded=kind == OVERLOADED,
                ceiling=self.ceiling,
                in_flight=len(self._in_flight),
            )
            heapq.heappop(self._in_flight)
            self.limits.append(self.limit.limit)
        return self

    def answer_until(self, end):
        while self.now < end:
            self.answer(1)
        return self


def at_once(seconds=0.1, kind=GOOD):
    """Serve any number of requests at once."""
    return lambda _now: (seconds, kind)


def one_at_a_time(seconds=0.1):
    free_at = [0.0]

    def serve(now):
        free_at[0] = max(free_at[0], now) + seconds
        return free_at[0] - now, GOOD

    return serve


@pytest.mark.parametrize("answers", [300, 2_000])
def test_a_receiver_that_serves_one_at_a_time_sees_three_at_most(answers):
    receiver = Receiver(one_at_a_time()).answer(answers)

    assert receiver.most <= 3
    # It is never left without a request.
    assert receiver.now == pytest.approx(0.1 * answers)


def test_a_receiver_that_serves_all_at_once_gets_to_the_ceiling_in_some_fifty_round_trips():
    receiver = Receiver(at_once()).answer_until(5.0)

    assert receiver.limit.limit == 32


def test_it_begins_with_two_and_grows_one_by_one_after_16_answers():
    receiver = Receiver(at_once()).answer_until(5.0)

    assert receiver.limits[:16] == [*[2] * 15, 3]
    assert {later - earlier for earlier, later in zip(receiver.limits, receiver.limits[1:], strict=False)} <= {0, 1}


@pytest.mark.parametrize("ceiling", [1, 2, 5, 32])
def test_no_more_are_in_flight_than_the_ceiling(ceiling):
    receiver = Receiver(at_once(), ceiling=ceiling).answer(1_000)

    assert receiver.most == ceiling
    assert max(receiver.limits) <= max(ceiling, AdaptiveLimit.FIRST)


def test_without_enough_to_send_it_does_not_grow():
    limit = AdaptiveLimit()
    for _ in range(200):
        limit.answered(0.1, is_success=True, is_overloaded=False, ceiling=32, in_flight=1)

    assert limit.limit == AdaptiveLimit.FIRST


def test_an_overload_halves_it_once_for_all_requests_in_flight():
    receiver = Receiver(at_once()).answer_until(5.0)
    assert receiver.limit.limit == 32

    receiver.serve = at_once(kind=OVERLOADED)
    receiver.answer(32)
    receiver.serve = at_once()
    begun = len(receiver.limits)
    receiver.answer(40)

    # The 32 that were in flight were good; those after them are one halving.
    assert min(receiver.limits[begun:]) == 16


def test_a_receiver_that_stays_overloaded_gets_one_at_a_time_and_never_none():
    receiver = Receiver(at_once()).answer_until(5.0)

    receiver.serve = at_once(kind=OVERLOADED)
    receiver.answer(200)

    assert receiver.limit.limit == 1
    assert min(receiver.limits) == 1


def test_after_an_overload_it_grows_again():
    receiver = Receiver(at_once(kind=OVERLOADED)).answer(50)
    assert receiver.limit.limit == 1

    receiver.serve = at_once()
    receiver.answer_until(receiver.now + 6.0)

    assert receiver.limit.limit == 32


def test_a_failure_that_says_nothing_about_the_load_changes_nothing():
    receiver = Receiver(at_once()).answer_until(2.0)
    receiver.serve = at_once(kind=FAILED)
    receiver.answer(receiver.limit.limit)
    before = receiver.limit.limit

    receiver.answer(100)

    assert receiver.limit.limit == before


def test_answers_that_take_twice_as_long_halve_it():
    receiver = Receiver(at_once()).answer_until(2.0)
    before = receiver.limit.limit

    receiver.serve = at_once(0.25)
    receiver.answer(3 * before)

    assert receiver.limit.limit <= before // 2 + 1


def test_answers_that_take_a_little_longer_end_the_growth():
    receiver = Receiver(at_once()).answer_until(1.5)

    receiver.serve = at_once(0.15)
    receiver.answer(2 * receiver.limit.limit)
    before = receiver.limit.limit
    receiver.answer(20 * before)

    assert receiver.limit.limit == before


@pytest.mark.parametrize("seconds", [0.15, 0.25, 1.0])
def test_a_receiver_that_is_slower_for_good_is_taken_as_it_is_after_a_while(seconds):
    receiver = Receiver(at_once()).answer_until(5.0)

    receiver.serve = at_once(seconds)
    receiver.answer_until(receiver.now + 150 * seconds)

    assert receiver.limit.limit == 32
