"""The wall clock jumps under those who work. Leases and slots are on it; how long a drain runs and rests is measured by
the machine, which jumps with nobody."""

import threading
import time
from datetime import timedelta
from itertools import cycle

import pytest
from django.utils import timezone

from tests.integration.delivery.rows import distinct, write, write_event, write_events
from tests.integration.delivery.worker import LEASE, run_link
from tests.patience import PATIENCE
from tests.receiver import Answer
from tests.scenarios.jumps import DAYS, HOURS, brought, far, late_attempts, once_each, states
from tms_webhooks.models import DrainSlot, WebhookState
from tms_webhooks.outbox import wake
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.worker.drain import Drain

pytestmark = pytest.mark.slow

# Leases


def test_the_heartbeat_after_a_jump_forward_keeps_what_a_live_drain_holds(
    webhook, receiver, clock, monkeypatch, worker
):
    monkeypatch.setattr("tms_webhooks.worker.leases.RENEWED_EVERY", 0.05)
    write_events(webhook.organization, 2)
    renewed, taken = threading.Event(), []

    def respond(request):
        if len(receiver.received) == 1:
            clock.now += HOURS
        assert renewed.wait(PATIENCE)
        return Answer()

    def look(now):
        leases = distinct(WebhookState.objects.filter(lease__gt=""), "leased_until")
        if leases == {clock.now + LEASE} and clock.now > began_at and not renewed.is_set():
            taken.append(worker("other").claim())
            renewed.set()
        return fan_out(now)

    began_at = clock.now
    receiver.respond = respond
    Drain(fan_out=look, clock=clock).run(until_idle=True, seconds=PATIENCE)

    assert taken == [[]]
    assert brought(receiver) == once_each()
    assert states(webhook) == {("delivered", 1): 2}
    assert late_attempts() == 0


# How long a drain runs and rests


def test_a_drain_ends_after_its_seconds_whatever_the_clock_says(webhook, clock):
    jumps, stop = cycle([-DAYS, DAYS]), threading.Event()
    alarm = threading.Timer(2 * PATIENCE, stop.set)
    alarm.start()
    began_at, started_at = clock.now, time.monotonic()

    Drain(fan_out=fan_out, clock=lambda: began_at + next(jumps)).run(seconds=0.5, stop=stop)

    alarm.cancel()
    assert 0.5 <= time.monotonic() - started_at < 0.5 + PATIENCE


@far
def test_a_drain_at_rest_finds_in_a_moment_what_a_jump_forward_has_made_due(
    webhook, receiver, clock, drain, jump, monkeypatch
):
    monkeypatch.setattr("tms_webhooks.worker.drain.DRAIN_SLEEP", 0.5)
    write_event(webhook.organization)
    receiver.answers = [Answer(500)]
    # By now the next try is an hour away.
    write(webhook, schedule=[3_600])
    drain()
    stop = threading.Event()

    def respond(request):
        stop.set()
        return Answer()

    receiver.respond = respond
    alarm = threading.Timer(0.2, lambda: clock.advance(seconds=jump.total_seconds()))
    started_at = time.monotonic()
    alarm.start()
    Drain(fan_out=fan_out, clock=clock).run(seconds=3_600, stop=stop)

    assert 0.2 <= time.monotonic() - started_at < 0.2 + PATIENCE
    assert states(webhook) == {("delivered", 2): 1}


@far
def test_a_drain_at_rest_goes_on_after_a_jump_back_with_what_is_new(webhook, receiver, clock, jump, monkeypatch):
    monkeypatch.setattr("tms_webhooks.worker.drain.DRAIN_SLEEP", 0.5)
    stop, turns = threading.Event(), []

    def look(now):
        turns.append(now)
        if len(turns) == 2:
            clock.now -= jump
            write_event(webhook.organization)
        return fan_out(clock.now)

    def respond(request):
        stop.set()
        return Answer()

    receiver.respond = respond
    started_at = time.monotonic()
    Drain(fan_out=look, clock=clock).run(seconds=3_600, stop=stop)

    assert time.monotonic() - started_at < PATIENCE
    assert states(webhook) == {("delivered", 1): 1}


# The slots of the drains


@pytest.mark.parametrize("jump", [HOURS, -HOURS], ids=str)
def test_a_jump_during_a_link_leaves_its_slot_to_the_next_one(webhook, receiver, clock, settings_of_app, jump):
    settings_of_app(DRAIN_BUDGET_SECONDS=0.5)

    def link(look):
        return run_link(lambda: Drain(fan_out=look, clock=clock), clock=clock)

    def look(now):
        if clock.now == began_at:
            clock.now += jump
            write_event(webhook.organization)
        return fan_out(clock.now)

    began_at = clock.now
    assert link(look) is not None
    assert DrainSlot.objects.held_until(clock.now) is None
    write_event(webhook.organization)
    assert link(fan_out) is not None

    assert brought(receiver) == once_each()


def test_after_a_jump_back_a_change_starts_a_drain_at_once(queue, monkeypatch):
    """Perhaps beside the last one, for a moment: two drains do no harm, and none would deliver nothing."""
    # Another test's drain that is ending would hear it.
    monkeypatch.setattr(wake, "wake_local", lambda _alias: False)
    now = timezone.now()
    # Taken for ten seconds; then the clock was set back.
    DrainSlot.objects.take(1, owner="last", now=now + HOURS, until=now + HOURS + timedelta(seconds=10))

    wake.Waker().wake()

    assert queue.now == [(wake.DRAIN,)]
