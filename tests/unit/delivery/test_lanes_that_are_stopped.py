"""What waits is taken back, or waits on until its lane is resumed; what is under way goes on."""

from __future__ import annotations

from tests.unit.delivery.parcels import is_empty, parcel, parcels
from tms_webhooks.delivery.lanes import Lanes


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
