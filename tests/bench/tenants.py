"""How long an organization's events wait because of another organization, all of whose receivers are slow."""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from typing import Any

import django
from django.db import transaction

from tests.bench import environment, neighbors
from tests.bench.supply import Group, fill

WEBHOOKS = 300
"""Of the slow organization."""
EVENTS = 40
"""That are due for each of its webhooks at the beginning; one more comes each second."""
TIMEOUT = 30
SLOW = {"hang_28s": 28.0, "answer_14s": 14.0}
"""Seconds until the receiver of the slow organization answers 204."""
SECONDS = 40
"""So many events of the other organization, one a second."""
WARM_UP = 5.0
"""Seconds that the slow organization has for itself."""
PATIENCE = 15.0
"""Seconds for which the last events may arrive. An event that hasn't by then counts with the time that it has waited."""
ROUNDS = 1
"""A round takes minutes, so more are not made."""


def run(*, db: str, rounds: int) -> dict[str, Any]:
    """Return the figures of each transport."""
    report = environment.per_transport(lambda transport: _measure(db, transport))
    return {**report, "rounds": min(rounds, ROUNDS)}


def _measure(db: str, transport: str) -> dict[str, Any]:
    with environment.database(db) as url:
        alone = _latencies(url, transport, delay=0.0, events=0)
        together = {name: _latencies(url, transport, delay=delay, events=EVENTS) for name, delay in SLOW.items()}
    p95_alone = environment.percentile(alone, 0.95)
    report = {name: _shares(times, p95_alone) for name, times in together.items()}
    return {
        "p95_added_ms": max(one["p95_added_ms"] for one in report.values()),
        "p50_alone_ms": environment.middle([environment.percentile(alone, 0.5)]),
        "p95_alone_ms": environment.middle([p95_alone]),
        **report,
    }


def _shares(times: list[float], p95_alone: float) -> dict[str, float]:
    p95 = environment.percentile(times, 0.95)
    return {
        "p50_ms": round(environment.percentile(times, 0.5), 2),
        "p95_ms": round(p95, 2),
        "max_ms": round(max(times), 2),
        "p95_added_ms": round(p95 - p95_alone, 2),
    }


def _latencies(url: str, transport: str, *, delay: float, events: int) -> list[float]:
    """Return how long each event took from its commit to its receiver, in milliseconds."""
    notes = environment.Notes()
    with environment.receiver(notes=notes) as port, ExitStack() as slow:
        slow_port = slow.enter_context(environment.receiver(delay, status=204))
        fill(
            url,
            Group(port),
            Group(slow_port, WEBHOOKS, events, shared=True, fields={"timeout_seconds": TIMEOUT}),
        )
        environ = environment.using(transport) | {"TMS_DEMO_PORTS": f"{port},{slow_port}"}
        with environment.managed("webhooks_drain", url=url, port=port, **environ):
            stamps, end = environment.figures("tenants", SECONDS, int(events > 0), url=url, port=port, **environ)
            # Otherwise the drain would wait for its answers before it ends.
            slow.close()
    return [(min(notes.arrivals.get(key, end), end) - stamp) * 1000 for key, stamp in stamps.items()]


def commit(seconds: int, *, both: bool) -> tuple[dict[str, float], float]:
    """Commit an event a second for the first webhook, and with ``both`` one for the slow organization as well.

    Return when each of the first webhook's was committed, by its public id, and when waiting for them ended.
    """
    from tests.bench import world
    from tms_webhooks.models import Delivery, Event, Webhook
    from tms_webhooks.outbox.wake import waker

    webhook, other = list(Webhook.objects.existing().order_by("pk")[:2])
    neighbors.wait_for_drain()
    time.sleep(WARM_UP)
    stamps: dict[str, float] = {}
    start = time.monotonic()

    def write(owner: Webhook, at: float) -> None:
        time.sleep(max(0.0, at - time.monotonic()))
        with transaction.atomic():
            events = world.write_events([owner], 1)
        if owner is webhook:
            stamps[events[0].public_id] = time.monotonic()
        waker.wake()

    for second in range(seconds):
        write(webhook, start + second)
        if both:
            write(other, start + second + 0.5)
    end = time.monotonic() + PATIENCE
    due = Event.objects.to_fan_out().filter(organization=webhook.organization)
    open_ones = Delivery.objects.open().filter(webhook=webhook)
    while (due.exists() or open_ones.exists()) and time.monotonic() < end:
        time.sleep(0.05)
    return stamps, time.monotonic()


if __name__ == "__main__":
    django.setup()
    print(json.dumps(commit(int(sys.argv[1]), both=bool(int(sys.argv[2])))))
