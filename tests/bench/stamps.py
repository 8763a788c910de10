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


def stamped(count: str, wake_by: str) -> dict[str, float]:
    """Save so often, 25 times a second; return when each event was about to be committed, by its public id."""
    from tms_webhooks.models import Event

    WAKE_UPS[wake_by]()
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


def drain_once() -> None:
    """Deliver what is due, as a task of its own."""
    from tms_webhooks.outbox.fanout import fan_out
    from tms_webhooks.worker.drain import Drain

    Drain(fan_out=fan_out).run(until_idle=True)


def _wake_by(wake: Callable[[], None]) -> None:
    from tms_webhooks.outbox.wake import Waker

    Waker.wake = lambda _waker: wake()  # type: ignore[method-assign]


def _only_notify() -> None:
    from tms_webhooks.outbox import wake

    wake.wake_local = lambda _alias: False


def _enqueue() -> None:
    from tms_webhooks.queues.django_q import DjangoQQueue

    DjangoQQueue().enqueue("tests.bench.stamps.drain_once")


WAKE_UPS: dict[str, Callable[[], None]] = {
    "installed": lambda: None,
    "notify": _only_notify,
    "poll": lambda: _wake_by(lambda: None),
    "task": lambda: _wake_by(_enqueue),
}
"""Changes that make a commit wake a drain in another way."""


WAYS = {way.__name__: way for way in (attended, stamped, settled)}

if __name__ == "__main__":
    django.setup()
    print(json.dumps(WAYS[sys.argv[1]](*sys.argv[2:])))
