"""Steady saves, in their own process, to measure how long each takes to reach the receiver.

Run as ``python -m tests.bench.stamps WAY …``: ``attended`` waits until a drain is at work, ``stamped`` saves and
returns when each commit was about to happen, ``settled`` waits for the last delivery. The last line is JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable

import django
from django.utils import timezone

from tests.bench.saves import saver

INTERVAL = 0.04
PATIENCE = 60.0


def stamped(count: str) -> dict[str, float]:
    """Save so often, 25 times a second; return when each event was about to be committed, by its public id."""
    from tms_webhooks.models import Event

    stamps: list[float] = []
    save = saver("1", stamps)
    save()
    newest = Event.objects.latest("pk").pk
    stamps.clear()
    for _ in range(int(count)):
        time.sleep(INTERVAL)
        save()
    events = Event.objects.filter(pk__gt=newest).order_by("pk")
    return dict(zip((event.public_id for event in events), stamps, strict=True))


def attended() -> bool:
    """Wait until a drain is at work."""
    from tms_webhooks.models import DrainSlot

    return _wait(lambda: DrainSlot.objects.held_until(timezone.now()) is not None)


def settled() -> bool:
    """Wait until everything is delivered."""
    from tms_webhooks.models import Delivery, Event

    return _wait(
        lambda: not Event.objects.to_fan_out().exists() and not Delivery.objects.exclude(status="delivered").exists()
    )


def _wait(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "It took too long."
        time.sleep(0.05)
    return True


WAYS = {way.__name__: way for way in (attended, stamped, settled)}

if __name__ == "__main__":
    django.setup()
    print(json.dumps(WAYS[sys.argv[1]](*sys.argv[2:])))
