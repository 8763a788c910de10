"""A drain whose wire is faked and whose clock the test moves."""

import pytest

from tests.integration.delivery.wire import Wire
from tms_webhooks.net.transports.client import ThreadTransport
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.worker.drain import Drain


@pytest.fixture
def wire():
    """What stands in for the network: answers 200 by default."""
    return Wire()


@pytest.fixture
def run(clock, wire):
    """Run a drain on the test's clock and wire until nothing is due."""
    return lambda: Drain(fan_out=fan_out, clock=clock, transport=ThreadTransport(wire), random=lambda: 0.5).run(
        until_idle=True
    )
