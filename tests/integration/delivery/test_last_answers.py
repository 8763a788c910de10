"""A drain at the end of its budget: a slow answer must not occupy its worker, nor delay unsent deliveries."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from tests.integration.delivery.rows import subscribed
from tests.integration.delivery.wire import Gate, Wire, answer
from tests.patience import PATIENCE
from tms_webhooks.net.transports.threads import ThreadTransport
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.tasks import finish_in_thread
from tms_webhooks.worker.drain import Drain

Finish = Callable[[], None]


@pytest.fixture
def gate():
    return Gate()


@pytest.fixture
def finishes(gate):
    """The finish functions that a drain has passed on."""
    return []


def stopping_at(gate, stop):
    def look(now):
        if gate.waiting:
            stop.set()
        return fan_out(now)

    return look


def run(gate, finishes, clock, *first):
    """Run a drain until a request waits at the gate, and keep its finish function."""
    stop = threading.Event()
    drain = Drain(fan_out=stopping_at(gate, stop), clock=clock, transport=ThreadTransport(Wire(*first, otherwise=gate)))
    drain.run(stop=stop, run_finish=finishes.append)
    return drain


def test_a_drain_passes_on_the_wait_for_the_last_answers(gate, finishes, clock):
    webhook = subscribed(max_in_flight=1, happened=1)

    drain = run(gate, finishes, clock)

    assert webhook.deliveries.get().status == "pending"
    gate.open()
    (finish,) = finishes
    finish()
    assert webhook.deliveries.get().status == "delivered"
    assert drain.tally.delivered == 1


def test_unsent_deliveries_are_as_they_were_before_the_last_answer_has_come(gate, finishes, clock):
    webhook = subscribed(max_in_flight=1, happened=30)

    # A quick receiver first, so that the drain has reason to look ahead.
    run(gate, finishes, clock, *[answer() for _ in range(9)])

    rest = webhook.deliveries.exclude(status="delivered")
    assert rest.filter(status="pending", due_at=clock.now).count() == rest.count() > 1
    gate.open()
    finishes[0]()


def test_finishing_in_a_thread_blocks_only_the_end_of_the_process():
    answered, finished = threading.Event(), threading.Event()

    def finish():
        answered.wait(2 * PATIENCE)
        finished.set()

    began = time.monotonic()
    finish_in_thread(finish)

    assert time.monotonic() - began < PATIENCE
    assert not finished.is_set()
    (thread,) = [one for one in threading.enumerate() if one.name == "webhook-last-answers"]
    assert not thread.daemon
    answered.set()
    thread.join(PATIENCE)
    assert finished.is_set()
