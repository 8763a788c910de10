"""Steady saves, in their own process, to measure how long each takes to reach the receiver."""

from __future__ import annotations

import time

from django.utils import timezone

from tests.bench.environment import wait
from tests.bench.saves import saver

INTERVAL = 0.04


def stamped(count):
    """Save so often, 25 times a second; return when each event was about to be committed, by its public id."""
    from tms_webhooks.models import Event

    stamps = []
    save = saver("1", stamps)
    save()
    newest = Event.objects.latest("pk").pk
    stamps.clear()
    for _ in range(count):
        time.sleep(INTERVAL)
        save()
    events = Event.objects.filter(pk__gt=newest).order_by("pk")
    return dict(zip((event.public_id for event in events), stamps, strict=True))


def attended():
    """Wait until a drain is at work."""
    from tms_webhooks.models import DrainSlot

    wait(lambda: DrainSlot.objects.held_until(timezone.now()) is not None)


def settled():
    """Wait until everything is delivered."""
    from tms_webhooks.models import Delivery, Event

    wait(lambda: not Event.objects.to_fan_out().exists() and not Delivery.objects.exclude(status="delivered").exists())
