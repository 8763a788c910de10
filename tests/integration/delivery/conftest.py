"""A drain and workers whose wire is faked and whose clock the test moves."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.conftest import Clock
from tests.integration.delivery.rows import subscribed, write_events
from tests.integration.delivery.wire import Wire
from tests.integration.delivery.worker import Worker
from tms_webhooks.delivery.engine import Drain, Tally
from tms_webhooks.outbox.fanout import fan_out

PATIENCE = 30.0


@pytest.fixture
def wire() -> Wire:
    """What stands in for the network: answers 200 unless told otherwise."""
    return Wire()


@pytest.fixture
def run(clock: Clock, wire: Wire) -> Callable[..., Tally]:
    """Run a drain on the test's clock and wire until nothing is due. ``dice`` 0.5 means no jitter."""

    def run(*, dice: float = 0.5, wire: Wire = wire) -> Tally:
        stop = threading.Event()
        alarm = threading.Timer(PATIENCE, stop.set)
        alarm.start()
        try:
            tally = Drain(fan_out=fan_out, clock=clock, client=wire, dice=lambda: dice).run(until_idle=True, stop=stop)
        finally:
            alarm.cancel()
        assert not stop.is_set(), f"the drain did not come to rest in {PATIENCE} s"
        return tally

    return run


@pytest.fixture
def worker(clock: Clock, wire: Wire) -> Callable[[str], Worker]:
    """Make a worker of this name."""
    return lambda name: Worker(name, clock=clock, wire=wire)


@pytest.fixture
def backlog(clock):
    """Make a webhook for which so many deliveries are due."""

    def backlog(number: int, path: str = "/hook", **fields):
        webhook = subscribed(path, **fields)
        write_events(webhook.organization, number)
        while fan_out(clock.now):
            pass
        assert webhook.deliveries.count() == number
        return webhook

    return backlog
