"""The slots that keep drains from multiplying."""

from __future__ import annotations

from datetime import timedelta

from tms_webhooks.models import DrainSlot

HOLD = timedelta(seconds=10)


def take(clock, owner: str, number: int = 1) -> bool:
    return DrainSlot.objects.take(number, owner=owner, now=clock.now, until=clock.now + HOLD)


def test_a_free_slot_is_taken_until_its_time(clock):
    assert take(clock, "alice")

    slot = DrainSlot.objects.get()
    assert (slot.number, slot.owner, slot.held_until) == (1, "alice", clock.now + HOLD)
    assert DrainSlot.objects.held_until(clock.now) == clock.now + HOLD


def test_a_slot_that_is_held_is_not_given_to_another(clock):
    take(clock, "alice")
    clock.advance(seconds=9.999)

    assert not take(clock, "bob")
    assert DrainSlot.objects.get().owner == "alice"


def test_its_holder_may_take_it_again(clock):
    take(clock, "alice")
    clock.advance(seconds=5)

    assert take(clock, "alice")
    assert DrainSlot.objects.get().held_until == clock.now + HOLD


def test_a_slot_whose_time_is_over_falls_to_the_next(clock):
    take(clock, "alice")
    clock.advance(seconds=10)

    assert DrainSlot.objects.held_until(clock.now) is None
    assert take(clock, "bob")
    assert DrainSlot.objects.get().owner == "bob"


def test_a_slot_that_is_given_back_is_free_at_once(clock):
    take(clock, "alice")

    DrainSlot.objects.release(1, owner="alice", now=clock.now)

    assert DrainSlot.objects.held_until(clock.now) is None
    assert take(clock, "bob")


def test_who_lost_a_slot_cant_give_it_back(clock):
    take(clock, "alice")
    clock.advance(seconds=10)
    take(clock, "bob")

    DrainSlot.objects.release(1, owner="alice", now=clock.now)

    assert DrainSlot.objects.get().owner == "bob"
    assert DrainSlot.objects.held_until(clock.now) == clock.now + HOLD


def test_slots_are_held_each_on_their_own(clock):
    assert take(clock, "alice", 1)
    assert take(clock, "bob", 2)
    assert not take(clock, "charlie", 1)
    assert not take(clock, "charlie", 2)
    assert take(clock, "charlie", 3)


def test_the_last_to_end_tells_until_when_a_drain_is_at_work(clock):
    take(clock, "alice", 1)
    clock.advance(seconds=4)
    take(clock, "bob", 2)

    assert DrainSlot.objects.held_until(clock.now) == clock.now + HOLD


def test_giving_back_what_was_never_taken_does_nothing(clock):
    DrainSlot.objects.release(1, owner="alice", now=clock.now)

    assert not DrainSlot.objects.exists()


def test_a_slot_that_seems_held_because_the_clock_was_set_back_is_free(clock):
    take(clock, "alice")
    clock.advance(hours=-3)

    assert DrainSlot.objects.held_until(clock.now) is None
    assert take(clock, "bob")
    assert DrainSlot.objects.held_until(clock.now) == clock.now + HOLD


def test_a_machine_whose_clock_is_a_little_behind_leaves_a_slot_alone(clock):
    take(clock, "alice")
    clock.advance(seconds=-4)

    assert DrainSlot.objects.held_until(clock.now) is not None
    assert not take(clock, "bob")
