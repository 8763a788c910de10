"""The slots that keep drains from multiplying."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tms_webhooks.models import DrainSlot

HOLD = timedelta(seconds=10)


def take(clock, owner, number=1):
    return DrainSlot.objects.take(number, owner=owner, now=clock.now, until=clock.now + HOLD)


@pytest.mark.parametrize(
    "story",
    [
        "alice +9.999 !bob +0.001 bob",
        "alice +5 alice +9.999 !bob +0.001 bob",
        "alice -alice bob",
        # Who has lost a slot can't give it back, nor can who never had one.
        "alice +10 bob -alice !charlie",
        "-alice bob",
        # A clock that was set back by hours holds nothing; one that is a little behind leaves a slot alone.
        "alice +-10800 bob",
        "alice +-4 !bob",
    ],
)
def test_a_slot_is_held_by_one_until_its_time_or_until_it_is_given_back(clock, story):
    """A name takes the slot, "!" and a name doesn't get it, "-" and a name gives it back, and "+" lets seconds pass."""
    for step in story.split():
        match step[0]:
            case "+":
                clock.advance(seconds=float(step[1:]))
            case "-":
                DrainSlot.objects.release(1, owner=step[1:], now=clock.now)
            case "!":
                assert not take(clock, step[1:]), step
            case _:
                assert take(clock, step), step
                assert DrainSlot.objects.get().owner == step
                assert DrainSlot.objects.held_until(clock.now) == clock.now + HOLD


def test_slots_are_held_each_on_their_own_and_the_last_to_end_tells_until_when_a_drain_is_at_work(clock):
    assert DrainSlot.objects.held_until(clock.now) is None
    assert take(clock, "alice", 1)
    clock.advance(seconds=4)
    assert take(clock, "bob", 2)

    assert [take(clock, "charlie", number) for number in (1, 2, 3)] == [False, False, True]
    DrainSlot.objects.release(3, owner="charlie", now=clock.now)
    assert DrainSlot.objects.held_until(clock.now) == clock.now + HOLD
    clock.advance(seconds=10)
    assert DrainSlot.objects.held_until(clock.now) is None
