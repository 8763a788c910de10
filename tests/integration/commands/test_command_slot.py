"""A drain that a command runs holds a slot."""

import threading
from datetime import timedelta

import pytest
from django_q.models import OrmQ

from tms_webhooks.management.commands.webhooks_drain import FIRST, HOLD, CommandSlot, drain
from tms_webhooks.models import DrainSlot
from tms_webhooks.outbox.wake import waker
from tms_webhooks.worker.leases import RENEWED_EVERY


def numbers(clock):
    return sorted(DrainSlot.objects.held(clock.now).values_list("number", flat=True))


def test_a_drain_that_lives_holds_a_slot_that_no_drain_of_the_queue_takes(clock):
    slot = CommandSlot()

    assert slot.renew(clock.now) == FIRST
    for _ in range(10):
        clock.advance(seconds=RENEWED_EVERY)
        assert numbers(clock) == [FIRST]
        assert slot.renew(clock.now) == FIRST


def test_a_drain_that_hangs_loses_its_slot(clock):
    CommandSlot().renew(clock.now)

    clock.advance(seconds=HOLD.total_seconds() - 0.1)
    assert numbers(clock) == [FIRST]
    clock.advance(seconds=0.1)
    assert numbers(clock) == []


def test_several_commands_hold_a_slot_each(clock):
    assert [CommandSlot().renew(clock.now) for _ in range(3)] == [FIRST, FIRST + 1, FIRST + 2]
    assert numbers(clock) == [FIRST, FIRST + 1, FIRST + 2]


def test_one_that_ends_gives_its_slot_to_the_next(clock):
    slot = CommandSlot()
    slot.renew(clock.now)

    slot.release(clock.now)

    assert numbers(clock) == []
    assert CommandSlot().renew(clock.now) == FIRST
    assert numbers(clock) == [FIRST]


@pytest.mark.parametrize("until_idle", [False, True])
def test_only_one_that_runs_until_it_is_stopped_takes_a_slot(until_idle):
    drain(seconds=0.1, until_idle=until_idle, stop=threading.Event())

    assert DrainSlot.objects.filter(number=FIRST, owner="").exists() is not until_idle


def test_a_commit_enqueues_no_drain_while_a_command_runs_one(clock, settings_of_app, monkeypatch):
    settings_of_app(QUEUE="tms_webhooks.queues.django_q.DjangoQQueue")
    # As on another host.
    monkeypatch.setattr("tms_webhooks.outbox.wake.wake_local", lambda alias: False)
    CommandSlot().renew(clock.now + timedelta(seconds=1))

    waker.wake()

    assert not OrmQ.objects.exists()
