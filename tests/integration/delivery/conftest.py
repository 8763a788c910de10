"""Drains and workers with a fake wire and a clock that the test moves, and the rows that they work on."""

import threading
from datetime import timedelta

import pytest

from tests.integration.delivery.fake_transport import Selector, Simulation, quick
from tests.integration.delivery.rows import (
    OCCURRED_AT,
    fan_out_all,
    new_event,
    subscribed,
    work_off,
    write_delivery,
)
from tests.integration.delivery.wire import Wire
from tests.integration.delivery.worker import Worker
from tests.patience import PATIENCE
from tms_webhooks import signals
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.models import Delivery, Webhook
from tms_webhooks.net.transports.client import ThreadTransport
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.queues import wakeup
from tms_webhooks.worker import drain, endpoint_queues, leases
from tms_webhooks.worker.drain import Drain


@pytest.fixture
def wire():
    """What stands in for the network: answers 200 by default."""
    return Wire()


@pytest.fixture
def run(clock, wire):
    """Run a drain on the test's clock and wire until nothing is due. ``random`` 0.5 means no jitter."""

    def run(*, random=0.5, wire=wire):
        stop = threading.Event()
        alarm = threading.Timer(PATIENCE, stop.set)
        alarm.start()
        try:
            tally = Drain(fan_out=fan_out, clock=clock, transport=ThreadTransport(wire), random=lambda: random).run(
                until_idle=True, stop=stop
            )
        finally:
            alarm.cancel()
        assert not stop.is_set(), f"the drain did not come to rest in {PATIENCE} s"
        return tally

    return run


@pytest.fixture
def simulate(clock, monkeypatch):
    """Make a drain's surroundings in simulated time: the receivers, and how many requests may be in flight."""

    def simulate(receiver=quick, *, capacity=1_000):
        simulation = Simulation(clock, receiver, capacity=capacity)
        for module in (drain, endpoint_queues, leases):
            monkeypatch.setattr(module, "monotonic", simulation.time)
        monkeypatch.setattr(drain, "DefaultSelector", lambda: Selector(simulation.time))
        # For a second, a process wakes only the drains that it knows, which are those of another test.
        monkeypatch.setattr(wakeup, "_woken", {})
        return simulation

    return simulate


@pytest.fixture
def worker(clock, wire):
    """Return the worker of this name."""
    workers = {}

    def worker(name):
        if name not in workers:
            workers[name] = Worker(name, clock=clock, wire=wire)
        return workers[name]

    return worker


@pytest.fixture
def alice(worker):
    return worker("alice")


@pytest.fixture
def bob(worker):
    return worker("bob")


@pytest.fixture
def backlog(clock):
    """Make a webhook for which so many deliveries are due."""

    def backlog(number, path="/hook", **fields):
        webhook = subscribed(path, **fields, happened=number)
        fan_out_all(clock.now)
        assert webhook.deliveries.count() == number
        return webhook

    return backlog


SIGNALS = {
    "failing": signals.webhook_failing,
    "disabled": signals.webhook_disabled,
    "recovered": signals.webhook_recovered,
    "exhausted": signals.webhook_exhausted,
}


@pytest.fixture
def heard():
    """The signals about webhooks that were sent: their names and arguments."""
    sent = []

    def listen(name):
        return lambda sender, signal, **facts: sent.append((name, facts))

    receivers = {name: listen(name) for name in SIGNALS}
    for name, receiver in receivers.items():
        SIGNALS[name].connect(receiver, sender=Webhook)
    yield sent
    for name, receiver in receivers.items():
        SIGNALS[name].disconnect(receiver, sender=Webhook)


@pytest.fixture
def due(clock):
    """Make so many deliveries that are due."""

    def due(webhook, number, **values):
        return [write_delivery(webhook, now=clock.now, **values) for _ in range(number)]

    return due


@pytest.fixture
def finished(clock):
    """Make deliveries in this state, whose events happened so long before `OCCURRED_AT`."""

    def finished(webhook, status, number=1, *, age=timedelta(), **values):
        made = []
        for _ in range(number):
            event = new_event(webhook.organization)
            event.occurred_at, event.fanned_out_at = OCCURRED_AT - age, clock.now
            event.save()
            state = {"status": status, "due_at": None, "created_at": clock.now, "finished_at": clock.now, **values}
            made.append(Delivery.objects.create(event=event, webhook=webhook, **state))
        return made

    return finished


@pytest.fixture
def do(clock):
    """Start a job and do it to its end."""

    def do(kind, webhook, **range_):
        job = start_job(kind, webhook, now=clock.now, **range_)
        work_off(job, clock.now)
        job.refresh_from_db()
        return job

    return do
