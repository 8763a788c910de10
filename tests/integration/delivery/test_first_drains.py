"""A worker that starts makes sure that drains run, also after a crash that killed a drain with its successor."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signals import post_spawn

from tms_webhooks import tasks
from tms_webhooks.models import DrainSlot
from tms_webhooks.queues.django_q import DjangoQQueue


@pytest.fixture(autouse=True)
def _django_q(settings) -> None:
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "QUEUE": "tms_webhooks.queues.django_q.DjangoQQueue"}


def queued() -> list[tuple[str, tuple[object, ...], datetime]]:
    return [(row.func(), row.args(), row.lock) for row in OrmQ.objects.order_by("pk")]


def test_a_drain_is_enqueued_at_once_for_a_free_slot():
    tasks.start_drains()

    ((function, arguments, lock),) = queued()
    assert (function, arguments) == ("tms_webhooks.tasks.drain", (1,))
    assert lock <= timezone.now()


# The slot goes by the database's clock, and the queue by this machine's. On SQLite they are one.
CLOCKS_DIFFER = timedelta(0) if connection.vendor == "sqlite" else timedelta(seconds=1)


def test_for_a_held_slot_a_drain_is_enqueued_for_its_expiry():
    held_until = timezone.now().replace(microsecond=0) + timedelta(seconds=7)
    DrainSlot.objects.take(1, owner="killed", now=timezone.now(), until=held_until)

    tasks.start_drains()

    ((function, arguments, moment),) = queued()
    assert (function, arguments) == ("tms_webhooks.tasks.drain", (1,))
    assert abs(moment - held_until) <= CLOCKS_DIFFER


def test_each_slot_is_checked_separately(settings):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "DRAINS": 2}
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
def calls() -> Iterator[list[str]]:
    """A list that grows with each worker that starts."""
    calls: list[str] = []
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
    def fail() -> None:
        raise RuntimeError("no such table")

    DjangoQQueue().when_workers_start(fail)
    try:
        with caplog.at_level(logging.ERROR, logger="tms_webhooks"):
            post_spawn.send(sender="django_q", proc_name="Process-1")
    finally:
        post_spawn.disconnect(dispatch_uid="tms_webhooks")

    assert [record.levelname for record in caplog.records] == ["ERROR"]
