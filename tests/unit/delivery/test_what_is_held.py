"""How much a worker holds of a webhook, and how much of it is worth holding."""

from __future__ import annotations

import pytest

from tests.unit.delivery.parcels import parcel, parcels
from tms_webhooks.delivery import lanes as lanes_module
from tms_webhooks.delivery.lanes import LOOK_AHEAD, MOST_ROUNDS, Lanes


@pytest.fixture
def clock(monkeypatch):
    """The machine's clock, moved by hand."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(lanes_module, "monotonic", lambda: Clock.now)
    return Clock


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
