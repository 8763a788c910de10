"""Drains that hand over to each other, one slot each, and never multiply."""

import threading
import time
from datetime import timedelta

import pytest
from django.db import connection

from tests.integration.delivery.rows import distinct, subscribed, write_event
from tests.integration.delivery.wire import Wire, answer
from tests.integration.delivery.worker import run_link
from tests.patience import PATIENCE
from tms_webhooks import tasks
from tms_webhooks.models import DrainSlot
from tms_webhooks.net.transports.client import ThreadTransport
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.outbox.wake import DRAIN
from tms_webhooks.worker.drain import Drain

pytestmark = pytest.mark.slow

BUDGET = 0.25


@pytest.fixture(autouse=True)
def _short_budget(queue, settings_of_app, monkeypatch):
    settings_of_app(DRAIN_BUDGET_SECONDS=BUDGET)
    monkeypatch.setattr("tms_webhooks.worker.drain.DRAIN_REST", 0.02)


@pytest.fixture
def wire():
    return Wire()


@pytest.fixture
def link(clock, wire):
    """Run one link of the chain, whose drain looks for events by this function; without one, no drain is to be made."""

    def link(look=fan_out, *, slot=1, successor=False, clock=clock, drain=Drain):
        def make():
            assert look is not None, "no drain was to be made"
            return drain(fan_out=look, clock=clock, transport=ThreadTransport(wire))

        return run_link(make, clock=clock, slot=slot, successor=successor)

    return link


def hold(clock, *, owner="predecessor", seconds=10.0):
    assert DrainSlot.objects.take(1, owner=owner, now=clock.now, until=clock.now + timedelta(seconds=seconds))


def test_a_link_works_for_its_budget_and_leaves_the_slot_free(link, wire, clock):
    subscribed(happened=1)
    started_at = time.monotonic()

    tally = link()

    assert BUDGET <= time.monotonic() - started_at < BUDGET + PATIENCE
    assert (tally.events, tally.sent, tally.delivered) == (1, 1, 1)
    assert len(wire.requests) == 1
    assert DrainSlot.objects.held_until(clock.now) is None


def test_a_link_holds_its_slot_while_it_works(link, clock, wire):
    seen = []

    def look(now):
        seen.append((DrainSlot.objects.held_until(now), link(None)))
        return 0

    link(look)

    assert seen
    assert all(until > clock.now + timedelta(seconds=BUDGET) for until, _ in seen)
    assert {other for _, other in seen} == {None}


def test_a_link_enqueues_its_successor_ahead_for_just_before_its_end(link, queue, clock, settings_of_app):
    settings_of_app(DRAIN_BUDGET_SECONDS=0.8)

    link()

    ((moment, *call),) = queue.later
    assert call == [DRAIN, 1, True]
    # The queue goes by this machine's clock, which may differ a little from the clock of a database server.
    slack = timedelta(0) if connection.vendor == "sqlite" else timedelta(seconds=0.1)
    assert abs(moment - clock.now - timedelta(seconds=0.3)) <= slack
    assert queue.now == []


def test_where_the_queue_cant_wait_the_successor_is_enqueued_at_the_end(link, queue, settings_of_app, clock):
    settings_of_app(QUEUE="tests.queues.PlainQueue")
    seen = []

    link(lambda now: seen.append(list(queue.now)) or 0)

    assert set(map(len, seen)) == {0}
    assert queue.now == [(DRAIN, 1, True)]


def test_a_link_that_breaks_frees_its_slot_and_its_chain_goes_on(link, queue, clock):
    def look(now):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        link(look)

    assert DrainSlot.objects.held_until(clock.now) is None
    assert len(queue.later) == 1


def test_a_call_that_is_no_successor_leaves_where_a_drain_is_at_work(link, queue, clock, monkeypatch):
    monkeypatch.setattr("tms_webhooks.tasks.PATIENCE", 2 * PATIENCE)
    hold(clock)
    started_at = time.monotonic()

    assert link(None) is None

    assert time.monotonic() - started_at < PATIENCE
    assert (queue.now, queue.later) == ([], [])
    assert DrainSlot.objects.get().owner == "predecessor"


def test_a_successor_waits_until_its_predecessor_lets_go(link, queue, clock, wire):
    subscribed(happened=1)
    hold(clock)
    asked = []

    def watching():
        asked.append(None)
        if len(asked) == 10:
            DrainSlot.objects.release(1, owner="predecessor", now=clock.now)
        return clock.now

    tally = link(successor=True, clock=watching)

    assert tally.delivered == 1
    assert len(queue.later) == 1


def test_a_successor_does_not_wait_for_ever(link, queue, clock, monkeypatch):
    monkeypatch.setattr("tms_webhooks.tasks.PATIENCE", 0.1)
    hold(clock)

    assert link(None, successor=True) is None

    assert (queue.now, queue.later) == ([], [])


def test_the_slot_of_a_drain_that_was_killed_is_taken_over_when_its_time_is_over(link, clock, wire):
    subscribed(happened=1)
    hold(clock, seconds=10)

    clock.advance(seconds=9.9)
    assert link(None) is None

    clock.advance(seconds=0.1)
    assert link().delivered == 1


def test_the_slot_is_free_before_the_last_answers_have_come(link, wire, clock):
    webhook = subscribed(happened=1)
    free_at, answered_at, is_free = [], [], threading.Event()

    def slow(request):
        assert is_free.wait(PATIENCE)
        answered_at.append(time.monotonic())
        return answer()

    wire.otherwise = slow

    class Watched(Drain):
        def run(self, **options):
            closing = options.pop("after_last_start")

            def watched():
                closing()
                free_at.append((time.monotonic(), DrainSlot.objects.held_until(clock.now)))
                is_free.set()

            return super().run(after_last_start=watched, **options)

    tally = link(drain=Watched)

    ((moment, held_until),) = free_at
    assert held_until is None
    assert moment < answered_at[0]
    assert tally.delivered == 1
    assert webhook.deliveries.get().status == "delivered"


def test_the_chain_of_a_slot_that_the_settings_no_longer_have_ends(link, queue, settings_of_app, clock):
    settings_of_app(DRAINS=1)

    assert link(None, slot=2, successor=True) is None

    assert (queue.now, queue.later) == ([], [])
    assert not DrainSlot.objects.exists()


def test_a_chain_delivers_what_comes_at_any_time(link, queue, clock, wire):
    webhook = subscribed()
    successor = False
    for number in range(1, 4):
        write_event(webhook.organization)
        link(successor=successor)
        assert len(wire.requests) == number
        ((moment, function, slot, successor),) = queue.later
        assert (function, slot, successor) == (DRAIN, 1, True)
        queue.later.clear()
        clock.now = moment + timedelta(seconds=1)

    assert distinct(webhook.deliveries, "status", "attempts") == {("delivered", 1)}


def test_the_task_is_a_link(queue):
    assert tasks.drain() == 0
    assert [entry[1:] for entry in queue.later] == [(DRAIN, 1, True)]
    assert DrainSlot.objects.get().owner == ""
