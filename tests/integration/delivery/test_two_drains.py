"""Two drains share the webhooks: nothing stands, and the limits are exact, however the turns come."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest

from tests.integration.delivery.fake_transport import FakeTransport, Receiver, Simulation, in_seconds
from tests.integration.delivery.rows import subscribed, write_events
from tms_webhooks.models import Delivery, Webhook, WebhookState

PATIENCE = 30.0
"""Simulated seconds."""


class TwoDrains:
    """Two drains in one simulated time, whose turns the test takes."""

    def __init__(self, simulation: Simulation, receiver: Receiver) -> None:
        simulation.transport.close()
        self.time = simulation.time
        self.most_in_flight = 0
        self.transports = [FakeTransport(self.time, receiver) for _ in range(2)]
        self.drains = [simulation.drain(transport=transport) for transport in self.transports]

    def work(self, random: Random, *, seconds: float, until_idle: bool = False) -> None:
        """Take turns in any order for so long, or until nothing is open."""
        end = self.time.seconds + seconds
        while self.time.seconds < end and not (until_idle and not Delivery.objects.open().exists()):
            random.choice(self.drains)._turn(math.inf)
            in_flight = sum(len(one.in_flight("/hook")) for one in self.transports)
            self.most_in_flight = max(self.most_in_flight, in_flight)

    def work_off(self, webhook: Webhook, random: Random, *, before_silence: Callable[[], Any] = lambda: None) -> None:
        """Take turns while a few bursts come, and then until nothing is open."""
        for _ in range(random.randint(1, 5)):
            write_events(webhook.organization, random.choice([1, 17, 60, 150]))
            self.work(random, seconds=random.choice([0.01, 0.1, 0.5]))
        before_silence()
        self.work(random, seconds=PATIENCE, until_idle=True)


@pytest.fixture
def two_drains(simulate: Callable[..., Simulation]) -> Iterator[Callable[[Receiver], TwoDrains]]:
    """Make two drains for a receiver."""
    made: list[TwoDrains] = []

    def two_drains(receiver: Receiver) -> TwoDrains:
        made.append(TwoDrains(simulate(), receiver))
        return made[-1]

    yield two_drains
    for drain in (drain for one in made for drain in one.drains):
        drain._finish()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("seconds", [0.001, 0.03, 0.2])
def test_bursts_are_delivered_to_the_last_event_and_within_the_limit(two_drains, seconds, seed):
    random, drains, webhook = Random(seed), two_drains(in_seconds(seconds)), subscribed()
    for _ in range(4):
        drains.work_off(webhook, random)

        assert Delivery.objects.open().count() == 0

    assert drains.most_in_flight <= 32
    assert not WebhookState.objects.filter(leased_until__lte=drains.time.clock.now).exists()


@pytest.mark.parametrize("seed", range(3))
def test_all_is_sent_after_a_user_has_lowered_the_limit(two_drains, seed):
    random, drains, webhook = Random(seed), two_drains(in_seconds(0.03)), subscribed()
    for _ in range(4):
        Webhook.objects.update(max_in_flight=None)
        drains.work_off(webhook, random, before_silence=lambda: Webhook.objects.update(max_in_flight=8))

        assert Delivery.objects.open().count() == 0
