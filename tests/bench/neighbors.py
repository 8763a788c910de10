"""Three receivers' webhooks and their events, in a process of its own: ``python -m tests.bench.neighbors WAY …``.

``settle`` makes the webhooks of an organization, in a database that it clears; ``steadily`` writes events, waits until the
first webhook has had them, and returns when each was committed. The last line is JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import django
from django.db import router, transaction

TIMEOUT = 2
"""Seconds that the webhooks wait for an answer."""
PATIENCE = 30.0
"""Seconds that a drain may take to start, and the last events to arrive."""
PAUSE = 0.02


def settle(*ports: str) -> None:
    """Clear, and make an organization with a webhook for each port."""
    from example_project.training.factories import OrganizationFactory
    from tests.bench import supply, world

    supply.clear()
    organization = OrganizationFactory.create()
    for port in ports:
        url = f"http://127.0.0.1:{port}/hook"
        world.make_webhooks(1, url, organization=organization, timeout_seconds=TIMEOUT)


def steadily(count: str, rate: str) -> dict[str, float]:
    """Write so many events, so many a second; return when each was committed, by its public id."""
    from tests.bench import world
    from tms_webhooks.models import Delivery, Event, Webhook
    from tms_webhooks.outbox.wake import waker

    webhooks = list(Webhook.objects.existing().order_by("pk")[:1])
    wait_for_drain()
    stamps: dict[str, float] = {}
    start = time.monotonic()
    for number in range(int(count)):
        time.sleep(max(0.0, start + number / float(rate) - time.monotonic()))
        with transaction.atomic():
            (event,) = world.write_events(webhooks, 1)
        stamps[event.public_id] = time.monotonic()
        waker.wake()
    open_ones = Delivery.objects.open().filter(webhook=webhooks[0])
    _wait(lambda: not (Event.objects.to_fan_out().exists() or open_ones.exists()), "The healthy one gets nothing.")
    return stamps


def wait_for_drain() -> None:
    """Return once a drain is at work."""
    from tms_webhooks.models import Event
    from tms_webhooks.queues.wakeup import wake_local

    _wait(lambda: wake_local(router.db_for_write(Event)), "No drain is at work.")


def _wait(until: Callable[[], bool], trouble: str) -> None:
    end = time.monotonic() + PATIENCE
    while not until():
        assert time.monotonic() < end, trouble
        time.sleep(PAUSE)


WAYS = {way.__name__: way for way in (settle, steadily)}

if __name__ == "__main__":
    django.setup()
    print(json.dumps(WAYS[sys.argv[1]](*sys.argv[2:])))
