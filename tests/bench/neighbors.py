"""Webhooks and a steady stream of their events, in a process of its own."""

from __future__ import annotations

import time
from collections import defaultdict

from django.db import router, transaction

from tests.bench import environment

TIMEOUT = 2
"""Seconds that the webhooks wait for an answer."""
PATIENCE = 30.0
"""Seconds that a drain may take to start, and the last events to arrive."""


def settle(*ports):
    """Clear, and make an organization with a webhook for each port."""
    from example_project.training.factories import OrganizationFactory
    from tests.bench import supply, world

    supply.clear()
    organization = OrganizationFactory.create()
    for port in ports:
        url = f"http://127.0.0.1:{port}/hook"
        world.make_webhooks(1, url, organization=organization, timeout_seconds=TIMEOUT)


def steadily(count, rate):
    """Write so many events, so many a second; return when each was committed, by its public id, once they were sent."""
    from tms_webhooks.models import Delivery, Event, Webhook

    webhook = Webhook.objects.existing().order_by("pk")[0]
    wait_for_drain()
    stamps = write_steadily((number / rate, webhook) for number in range(count))
    open_ones = Delivery.objects.open().filter(webhook=webhook)
    environment.wait(lambda: not (Event.objects.to_fan_out().exists() or open_ones.exists()), seconds=PATIENCE)
    return stamps[webhook]


def write_steadily(plan):
    """Write an event for each webhook of ``plan``, which has the second of each; return when each was committed."""
    from tests.bench import world
    from tms_webhooks.outbox.wake import waker

    start, stamps = time.monotonic(), defaultdict(dict)
    for at, webhook in plan:
        time.sleep(max(0.0, start + at - time.monotonic()))
        with transaction.atomic():
            (event,) = world.write_events([webhook], 1)
        stamps[webhook][event.public_id] = time.monotonic()
        waker.wake()
    return stamps


def wait_for_drain():
    """Return once a drain is at work."""
    from tms_webhooks.models import Event
    from tms_webhooks.queues.wakeup import wake_local

    environment.wait(lambda: wake_local(router.db_for_write(Event)), seconds=PATIENCE)
