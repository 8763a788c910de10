"""Fixtures that many tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.receiver import Receiver
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.outbox.wake import waker
from tms_webhooks.worker.drain import Drain, Tally


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **delta: float) -> datetime:
        self.now += timedelta(**delta)
        return self.now


@pytest.fixture
def clock() -> Clock:
    """A clock at the present time, which the tests move by hand."""
    return Clock(datetime.now(UTC).replace(microsecond=0))


@pytest.fixture
def receiver(settings) -> Iterator[Receiver]:
    """A receiver on loopback, and the settings that let webhooks reach it."""
    server = Receiver()
    settings.TMS_WEBHOOKS = {
        **settings.TMS_WEBHOOKS,
        "ALLOWED_SCHEMES": ["http", "https"],
        "ALLOWED_HOSTS": ["127.0.0.1"],
        "ALLOWED_PORTS": [443, server.port],
    }
    yield server
    server.close()


@pytest.fixture
def drain(clock) -> Callable[[], Tally]:
    """Run a drain on the test's clock until nothing is due. The middle of the dice: no jitter."""
    return lambda: Drain(fan_out=fan_out, clock=clock, random=lambda: 0.5).run(until_idle=True)


@pytest.fixture(autouse=True)
def _quiet_bell() -> Iterator[None]:
    """What one test's commits taught the bell must not keep the next one's from ringing."""
    waker.reset()
    yield
    waker.reset()
