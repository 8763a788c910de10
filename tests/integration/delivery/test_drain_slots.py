"""The slots that keep drains from multiplying, and the drains that a worker starts, also after a crash that killed a drain with its successor."""

import logging
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signals import post_spawn

from tms_webhooks import tasks
from tms_webhooks.models import DrainSlot
from tms_webhooks.queues.django_q import DjangoQQueue

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


@pytest.fixture(autouse=True)
def _django_q(settings_of_app):
    settings_of_app(QUEUE="tms_webhooks.queues.django_q.DjangoQQueue")


def queued():
    return [(row.func(), row.args(), row.lock) for row in OrmQ.objects.order_by("pk")]


# The slot goes by the database's clock, and the queue by this machine's. On SQLite they are one.
CLOCKS_DIFFER = timedelta(0) if connection.vendor == "sqlite" else timedelta(seconds=1)


def test_each_slot_is_checked_separately(settings_of_app):
    settings_of_app(DRAINS=2)
    held_until = timezone.now().replace(microsecond=0) + timedelta(seconds=7)
    DrainSlot.objects.take(1, owner="at work", now=timezone.now(), until=held_until)

    tasks.start_drains()

    (first, second) = queued()
    assert first[:2] == ("tms_webhooks.tasks.drain", (1,))
    assert abs(first[2] - held_until) <= CLOCKS_DIFFER
    assert second[:2] == ("tms_webhooks.tasks.drain", (2,))
    assert second[2] <= timezone.now() + CLOCKS_DIFFER


# django-q2's own signal


@pytest.fixture
def calls():
    """A list that grows with each worker that starts."""
    calls = []
    DjangoQQueue().when_workers_start(lambda: calls.append("started"))
    yield calls
    post_spawn.disconnect(dispatch_uid="tms_webhooks")


def test_a_worker_that_starts_makes_the_call(calls):
    post_spawn.send(sender="django_q", proc_name="Process-1")

    assert calls == ["started"]


def test_a_cluster_of_another_name_starts_no_drains(calls, monkeypatch):
    monkeypatch.setattr(Conf, "CLUSTER_NAME", "reports")

    post_spawn.send(sender="django_q", proc_name="Process-1")

    assert calls == []


def test_an_error_is_logged_and_does_not_end_the_worker(caplog):
    def fail():
        raise RuntimeError("no such table")

    DjangoQQueue().when_workers_start(fail)
    try:
        with caplog.at_level(logging.ERROR, logger="tms_webhooks"):
            post_spawn.send(sender="django_q", proc_name="Process-1")
    finally:
        post_spawn.disconnect(dispatch_uid="tms_webhooks")

    assert [record.levelname for record in caplog.records] == ["ERROR"]
