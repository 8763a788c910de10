"""What a worker holds, and in which order it goes out: never more of a webhook at once than it takes."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import pytest

from tests.unit.delivery.parcels import parcel, parcels
from tms_webhooks.delivery import lanes as lanes_module
from tms_webhooks.delivery.lanes import LOOK_AHEAD, MOST_ROUNDS, Lane, Lanes


@pytest.fixture
def clock(monkeypatch):
    """The machine's clock, moved by hand."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(lanes_module, "monotonic", lambda: Clock.now)
    return Clock


def is_empty(lanes: Lanes) -> bool:
    """Tell whether nobody would be given anything now."""
    return not lanes._ready


# The cap


def test_no_more_go_out_than_the_cap_and_the_next_when_one_is_back():
    lanes = Lanes()
    first, second, third = parcels(3, cap=2)
    lanes.offer([first, second, third])

    assert [lanes.take(), lanes.take()] == [first, second]
    assert is_empty(lanes)
    lanes.done(first, 0.1)
    assert lanes.take() is third
    assert is_empty(lanes)


def test_webhooks_take_turns():
    lanes = Lanes()
    lanes.offer([*parcels(3, 1, cap=3), *parcels(3, 2, cap=3), *parcels(1, 3, cap=3)])

    assert [lanes.take().webhook_id for _ in range(7)] == [1, 2, 3, 1, 2, 1, 2]


def test_a_new_cap_holds_from_the_next_offer():
    lanes = Lanes()
    lanes.offer(parcels(4, cap=1))
    first = lanes.take()
    assert is_empty(lanes)
    lanes.offer([parcel(cap=3)])
    assert [lanes.take() is not None for _ in range(2)] == [True, True]
    assert is_empty(lanes)

    lanes.offer([parcel(cap=1)])
    lanes.done(first, 0.1)

    assert is_empty(lanes)


def test_threads_never_send_more_at_once_than_the_cap():
    lanes = Lanes()
    caps = {webhook_id: webhook_id % 5 + 1 for webhook_id in range(12)}
    flying, peaks, taken, lock = Counter(), Counter(), [], threading.Lock()

    def work() -> None:
        while (one := lanes.take()) is not None:
            with lock:
                flying[one.webhook_id] += 1
                peaks[one.webhook_id] = max(peaks[one.webhook_id], flying[one.webhook_id])
                taken.append(one.delivery_id)
            if random.random() < 0.1:
                time.sleep(0.0005)
            with lock:
                flying[one.webhook_id] -= 1
            lanes.done(one, 0.001)

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    offered = [parcel(webhook_id, cap=caps[webhook_id]) for _ in range(100) for webhook_id in caps]
    random.shuffle(offered)
    for start in range(0, len(offered), 50):
        lanes.offer(offered[start : start + 50])
    end = time.monotonic() + 20
    while lanes.held and time.monotonic() < end:
        time.sleep(0.001)
    lanes.close()
    for thread in threads:
        thread.join(5)

    assert sorted(taken) == sorted(one.delivery_id for one in offered)
    assert all(peaks[webhook_id] <= cap for webhook_id, cap in caps.items()), (peaks, caps)
    assert (lanes.held, is_empty(lanes)) == (0, True)


def test_nothing_is_handed_out_while_it_is_to_be_quiet_and_everybody_goes_on_afterwards():
    lanes, taken = Lanes(), []
    lanes.offer(parcels(1, 1))
    under_way = lanes.take()

    def work() -> None:
        while (one := lanes.take()) is not None:
            taken.append(one.webhook_id)

    threads = [threading.Thread(target=work) for _ in range(3)]
    with lanes.quiet():
        for thread in threads:
            thread.start()
        lanes.offer([parcel(2), parcel(3)])
        # What is under way goes on, and may make room for more.
        lanes.offer(parcels(1, 1))
        lanes.done(under_way, 0.1)
        time.sleep(0.05)
        assert taken == []
    end = time.monotonic() + 5
    while len(taken) < 3 and time.monotonic() < end:
        time.sleep(0.001)
    lanes.close()
    for thread in threads:
        thread.join(5)

    assert sorted(taken) == [1, 2, 3]


def test_threads_that_mostly_wait_for_receivers_need_not_be_quiet():
    lanes = Lanes()
    lanes.offer(parcels(2))
    lanes.done(lanes.take(), 0.02, 0.001)

    with lanes.quiet():
        assert lanes.take() is not None


def test_no_thread_sleeps_while_there_is_something_for_it():
    lanes, done = Lanes(), []

    def work() -> None:
        while (one := lanes.take()) is not None:
            lanes.done(one, 0.0)
            done.append(one)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 20
    for number in range(1, 2_001):
        # One at a time: if the one notification is lost, nobody comes for it.
        lanes.offer([parcel(number % 3)])
        while len(done) < number:
            assert time.monotonic() < end, f"{len(done)} of {number} came"
            time.sleep(0)
    lanes.close()
    for thread in threads:
        thread.join(5)

    assert len(done) == 2_000


# Counting


def test_what_waits_and_what_is_under_way_is_held():
    lanes = Lanes()
    lanes.offer(parcels(3, cap=2))
    assert lanes.held == 3
    first, second = lanes.take(), lanes.take()
    assert lanes.held == 3

    lanes.done(first, 0.1)
    assert lanes.held == 2
    lanes.withdraw()
    assert lanes.held == 1
    lanes.done(second, 0.1)
    assert lanes.held == 0


def test_what_could_go_out_now_is_short_of_hands():
    lanes = Lanes()
    assert lanes.short_of_hands == 0
    lanes.offer([*parcels(5, 1, cap=2), parcel(2)])
    assert lanes.short_of_hands == 3

    lanes.take()
    lanes.take()

    assert lanes.short_of_hands == 1  # one more of the first
    lanes.take()
    assert lanes.short_of_hands == 0


def test_a_thread_that_waits_is_a_hand():
    lanes = Lanes()
    thread = threading.Thread(target=lanes.take)
    thread.start()
    end = time.monotonic() + 5
    while not lanes._idle:
        assert time.monotonic() < end
        time.sleep(0.001)
    with lanes._changed:  # so that it can't wake up yet
        lane = lanes._lanes[1] = Lane()
        lane.parcels.append(parcel(1))
        lanes._ready.append(1)

    assert lanes.short_of_hands == 0

    lanes._ready.clear()
    lanes.close()
    thread.join(5)


# How many are worth holding


def test_of_an_unknown_receiver_no_more_is_held_than_is_sent_at_once():
    assert Lanes().appetite(1, 4) == 4


@pytest.mark.parametrize(
    ("seconds", "rounds"),
    [(0.001, MOST_ROUNDS), (0.0, MOST_ROUNDS), (0.01, 10), (0.03, 3), (0.05, 2), (0.06, 1), (LOOK_AHEAD, 1), (5.0, 1)],
)
def test_of_a_quick_one_as_much_as_it_takes_in_a_moment(seconds, rounds):
    lanes = Lanes()
    (one,) = parcels(1)
    lanes.offer([one])
    lanes.done(lanes.take(), seconds)

    assert lanes.appetite(1, 3) == 3 * rounds


def test_its_pace_is_that_of_the_last_few(clock):
    lanes = Lanes()
    for seconds in (0.01, 1.0, 1.0):
        lanes.offer(parcels(1))
        lanes.done(lanes.take(), seconds)
    assert lanes.appetite(1, 1) == 1

    for _ in range(12):
        lanes.offer(parcels(1))
        lanes.done(lanes.take(), 0.01)

    assert lanes.appetite(1, 1) > 4


def test_of_a_quick_one_that_is_stuck_now_no_more_than_is_sent_at_once(clock):
    lanes = Lanes()
    lanes.offer(parcels(2))
    lanes.done(lanes.take(), 0.001)
    lanes.take()
    assert lanes.appetite(1, 2) == 2 * MOST_ROUNDS

    clock.now += LOOK_AHEAD + 0.001

    assert lanes.appetite(1, 2) == 2


def test_a_pause_in_which_nothing_was_under_way_is_no_sign_of_being_stuck(clock):
    lanes = Lanes()
    lanes.offer(parcels(2))
    lanes.done(lanes.take(), 0.001)
    clock.now += 60.0
    lanes.take()

    assert lanes.appetite(1, 2) == 2 * MOST_ROUNDS


# Taking back


def test_what_waits_is_taken_back_and_what_is_under_way_is_not():
    lanes = Lanes()
    first, second, third = parcels(3)
    other = parcel(2)
    lanes.offer([first, second, third, other])
    lanes.take()

    assert lanes.withdraw(1) == [second.delivery_id, third.delivery_id]

    assert lanes.take() is other
    lanes.done(first, 0.1)
    assert is_empty(lanes)
    assert lanes.withdraw(1) == []


def test_all_that_waits_is_taken_back():
    lanes = Lanes()
    waiting = [*parcels(2, 1), *parcels(2, 2)]
    lanes.offer(waiting)

    assert sorted(lanes.withdraw()) == [one.delivery_id for one in waiting]

    assert (lanes.held, is_empty(lanes)) == (0, True)


def test_of_an_unknown_webhook_there_is_nothing_to_take_back():
    assert Lanes().withdraw(7) == []


def test_after_a_withdrawal_what_is_offered_goes_out():
    lanes = Lanes()
    lanes.offer(parcels(2))
    lanes.withdraw(1)
    (one,) = parcels(1)

    lanes.offer([one])

    assert lanes.take() is one
    assert is_empty(lanes)


# Halting


def test_a_lane_that_is_halted_waits_until_it_is_resumed():
    lanes = Lanes()
    first, second = parcels(2)
    lanes.offer([first, second])
    lanes.take()
    lanes.halt(1)
    lanes.done(first, 0.1)
    assert is_empty(lanes)

    lanes.resume([1])

    assert lanes.take() is second


def test_other_lanes_go_on():
    lanes = Lanes()
    other = parcel(2)
    lanes.offer([*parcels(2, 1), other])
    lanes.take()
    lanes.halt(1)

    assert lanes.take() is other


def test_a_lane_that_stood_ready_does_not_go_out_when_it_is_halted():
    lanes = Lanes()
    first, second = parcels(2, cap=2)
    lanes.offer([first, second])
    lanes.take()
    assert not is_empty(lanes)

    lanes.halt(1)

    assert is_empty(lanes)
    lanes.resume([1])
    assert lanes.take() is second


def test_what_was_halted_twice_is_resumed_twice():
    lanes = Lanes()
    first, second, third = parcels(3, cap=2)
    lanes.offer([first, second, third])
    for one in (lanes.take(), lanes.take()):
        lanes.halt(1)
        lanes.done(one, 0.1)

    lanes.resume([1])
    assert is_empty(lanes)
    lanes.resume([1])

    assert lanes.take() is third


def test_what_is_offered_to_a_lane_that_is_halted_waits_too():
    lanes = Lanes()
    (first,) = parcels(1)
    lanes.offer([first])
    lanes.take()
    lanes.halt(1)
    lanes.done(first, 0.1)

    lanes.offer(parcels(1))

    assert is_empty(lanes)
    assert lanes.held == 1


# The end


def test_closing_lets_threads_go_that_wait():
    lanes, ended = Lanes(), []
    threads = [threading.Thread(target=lambda: ended.append(lanes.take())) for _ in range(4)]
    for thread in threads:
        thread.start()

    lanes.close()
    for thread in threads:
        thread.join(5)

    assert ended == [None] * 4
    assert lanes.take() is None


def test_what_is_there_when_they_close_is_still_handed_out():
    lanes = Lanes()
    (one,) = parcels(1)
    lanes.offer([one])
    lanes.close()

    assert lanes.take() is one
    assert lanes.take() is None
