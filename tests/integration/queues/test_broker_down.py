"""A queue whose broker is down: saves and drains go on, and the sweep does the rest later."""

import logging
import time

import pytest

from tests.integration.delivery.worker import run_link
from tms_webhooks import tasks
from tms_webhooks.models import DrainSlot
from tms_webhooks.net.transports.client import ThreadTransport
from tms_webhooks.outbox import wake
from tms_webhooks.outbox.wake import Waker
from tms_webhooks.queues import Queue
from tms_webhooks.worker.drain import Drain


class BrokenQueue(Queue):
    """Refuses all calls."""

    calls = []

    def enqueue(self, function, *args):
        self.calls.append("now")
        raise ConnectionError("no broker")

    def enqueue_at(self, moment, function, *args):
        self.calls.append("later")
        raise ConnectionError("no broker")


@pytest.fixture(autouse=True)
def queue(use_queue, settings_of_app):
    BrokenQueue.calls.clear()
    use_queue(f"{__name__}.BrokenQueue")
    settings_of_app(DRAIN_BUDGET_SECONDS=0.1)
    return BrokenQueue


def test_a_process_asks_a_broker_that_is_down_once_in_ten_seconds(queue, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(wake, "monotonic", lambda: now[0])
    monkeypatch.setattr(wake, "wake_local", lambda alias: False)
    waker = Waker()

    for seconds, calls in ((0.0, 1), (1.5, 1), (9.9, 1), (10.1, 2), (15.0, 2)):
        now[0] = 100.0 + seconds
        waker.wake()
        assert queue.calls == ["now"] * calls


def test_a_drain_whose_successor_is_refused_runs_and_releases_its_slot(queue, clock, caplog):
    started_at = time.monotonic()

    with caplog.at_level(logging.ERROR, logger="tms_webhooks"):
        tally = run_link(lambda: Drain(fan_out=lambda now: 0, clock=clock, transport=ThreadTransport()), clock=clock)

    assert tally.sent == 0
    assert time.monotonic() - started_at >= 0.1
    assert DrainSlot.objects.get().owner == ""
    assert queue.calls == ["later", "now"]
    assert [record.getMessage() for record in caplog.records] == [
        "The next drain could not be enqueued; the sweep starts one."
    ] * 2


def test_a_drain_that_can_not_enqueue_the_periodic_jobs_delivers_all_the_same(queue, caplog):
    with caplog.at_level(logging.ERROR, logger="tms_webhooks"):
        assert tasks.drain() == 0

    assert DrainSlot.objects.get().owner == ""
    assert caplog.records[0].getMessage().startswith("The periodic jobs that are due could not be enqueued;")
