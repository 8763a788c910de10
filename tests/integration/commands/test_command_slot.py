"""The slot of a drain that a command runs."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django_q.models import OrmQ

from tms_webhooks.management.commands.webhooks_drain import FIRST, HOLD, RENEWED_EVERY, CommandSlot
from tms_webhooks.models import DrainSlot
from tms_webhooks.outbox.wake import waker


@pytest.fixture
def turn(clock):
    """Make the turn of a loop in a slot of its own, which returns the number of events."""
    return lambda slot=None: (slot or slot_on(clock)).renewed_by(lambda now: 7)


def slot_on(clock) -> CommandSlot:
    return CommandSlot(clock=lambda: clock.now.timestamp())


def numbers(clock) -> list[int]:
    return sorted(DrainSlot.objects.held(clock.now).values_list("number", flat=True))


def test_a_loop_that_turns_holds_a_slot_that_no_drain_of_the_queue_takes(turn, clock):
    loop = turn()

    assert loop(clock.now) == 7
    for _ in range(10):
        clock.advance(seconds=RENEWED_EVERY)
        assert numbers(clock) == [FIRST]
        loop(clock.now)


def test_it_is_renewed_now_and_then_only(turn, clock, django_assert_num_queries):
    loop = turn()
    loop(clock.now)
    clock.advance(seconds=RENEWED_EVERY - 1)

    with django_assert_num_queries(0):
        loop(clock.now)


def test_a_loop_that_hangs_loses_its_slot(turn, clock, monkeypatch):
    monkeypatch.setattr("tms_webhooks.worker.drain.DRAIN_SLEEP", 3.0)
    turn()(clock.now)

    clock.advance(seconds=HOLD + 2.9)
    assert numbers(clock) == [FIRST]
    clock.advance(seconds=0.1)
    assert numbers(clock) == []


def test_a_long_rest_does_not_make_a_slot_look_like_one_from_before_a_clock_was_set_back(turn, clock, monkeypatch):
    monkeypatch.setattr("tms_webhooks.worker.drain.DRAIN_SLEEP", 300.0)
    turn()(clock.now)

    assert numbers(clock) == [FIRST]


def test_several_commands_hold_a_slot_each(turn, clock):
    loops = [turn() for _ in range(3)]
    for loop in loops:
        loop(clock.now)

    assert numbers(clock) == [FIRST, FIRST + 1, FIRST + 2]


def test_one_that_ends_gives_its_slot_to_the_next(turn, clock):
    slot = slot_on(clock)
    turn(slot)(clock.now)

    slot.release(clock.now)

    assert numbers(clock) == []
    turn()(clock.now)
    assert numbers(clock) == [FIRST]


def test_a_commit_enqueues_no_drain_while_a_command_runs_one(turn, clock, settings, monkeypatch):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "QUEUE": "tms_webhooks.queues.django_q.DjangoQQueue"}
    # As on another host.
    monkeypatch.setattr("tms_webhooks.outbox.wake.wake_local", lambda alias: False)
    turn()(clock.now + timedelta(seconds=1))

    waker.wake()

    assert not OrmQ.objects.exists()
