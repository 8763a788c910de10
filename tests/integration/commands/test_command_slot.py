"""What a drain that a command runs does in each turn: it holds a slot."""

from datetime import timedelta

import pytest
from django_q.models import OrmQ

from tms_webhooks.management.commands import webhooks_drain
from tms_webhooks.management.commands.webhooks_drain import (
    FIRST,
    HOLD,
    RENEWED_EVERY,
    CommandTurn,
)
from tms_webhooks.models import DrainSlot
from tms_webhooks.outbox.wake import waker


@pytest.fixture(autouse=True)
def _events(clock, monkeypatch):
    """Each turn fans out seven events. Slots are renewed by the clock of the test."""
    monkeypatch.setattr(webhooks_drain, "fan_out", lambda now: 7)
    monkeypatch.setattr(webhooks_drain, "monotonic", lambda: clock.now.timestamp())


@pytest.fixture
def turn():
    """Make the turn of a loop in a slot of its own, which returns the number of events."""
    return lambda: CommandTurn(holds_slot=True)


def numbers(clock):
    return sorted(DrainSlot.objects.held(clock.now).values_list("number", flat=True))


def test_a_loop_that_turns_holds_a_slot_that_no_drain_of_the_queue_takes(turn, clock):
    loop = turn()

    assert loop(clock.now) == 7
    for _ in range(10):
        clock.advance(seconds=RENEWED_EVERY)
        assert numbers(clock) == [FIRST]
        loop(clock.now)


def test_a_loop_that_hangs_loses_its_slot(turn, clock, monkeypatch):
    monkeypatch.setattr("tms_webhooks.worker.drain.DRAIN_SLEEP", 3.0)
    turn()(clock.now)

    clock.advance(seconds=HOLD + 2.9)
    assert numbers(clock) == [FIRST]
    clock.advance(seconds=0.1)
    assert numbers(clock) == []


def test_several_commands_hold_a_slot_each(turn, clock):
    loops = [turn() for _ in range(3)]
    for loop in loops:
        loop(clock.now)

    assert numbers(clock) == [FIRST, FIRST + 1, FIRST + 2]


def test_one_that_ends_gives_its_slot_to_the_next(turn, clock):
    loop = turn()
    loop(clock.now)

    loop.release(clock.now)

    assert numbers(clock) == []
    turn()(clock.now)
    assert numbers(clock) == [FIRST]


def test_one_that_runs_until_nothing_is_due_takes_no_slot(clock):
    assert CommandTurn(holds_slot=False)(clock.now) == 7
    assert numbers(clock) == []


def test_a_commit_enqueues_no_drain_while_a_command_runs_one(turn, clock, settings_of_app, monkeypatch):
    settings_of_app(QUEUE="tms_webhooks.queues.django_q.DjangoQQueue")
    # As on another host.
    monkeypatch.setattr("tms_webhooks.outbox.wake.wake_local", lambda alias: False)
    turn()(clock.now + timedelta(seconds=1))

    waker.wake()

    assert not OrmQ.objects.exists()
