"""What a worker holds, and in which order it goes out: never more of a webhook at once than it takes."""

from __future__ import annotations

from tests.unit.delivery.parcels import is_empty, parcel, parcels
from tms_webhooks.delivery.lanes import Lanes


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


def test_what_is_there_when_they_close_is_still_handed_out():
    lanes = Lanes()
    (one,) = parcels(1)
    lanes.offer([one])
    lanes.close()

    assert lanes.take() is one
    assert lanes.take() is None
