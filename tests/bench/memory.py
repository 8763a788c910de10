"""Whether a worker grows: its resident size after the first deliveries and after ten times as many."""

from __future__ import annotations

import os
from pathlib import Path

from tests.bench import environment
from tests.bench.environment import sized
from tests.bench.figures import Figure

ROUNDS = 1
TIMEOUT = 300
DELIVERIES = sized(100_000, least=2_000)
CHUNK = DELIVERIES // 10
"""So many are in the database at a time. The first ones warm up."""
PATIENCE = 120.0

FIGURES = (
    Figure("warm", f"resident size of a worker after {CHUNK:,} deliveries", "MB"),
    Figure("growth", f"its growth until {DELIVERIES:,} deliveries", "%", at_most=5),
)


def run(*, db, rounds):
    """Watch one worker deliver them all, once."""
    with (
        environment.database(db),
        environment.receiver(),
        environment.managed("webhooks_drain") as worker,
    ):
        sizes = environment.figures("memory", "feed", worker.pid)
    return {"warm": [sizes[0]], "growth": [(sizes[-1] / sizes[0] - 1) * 100]}


def feed(pid):
    """Have the worker deliver chunk after chunk; return its resident size in megabytes after each."""
    from tests.bench import world

    webhooks = world.make_webhooks(10, f"http://127.0.0.1:{os.environ['TMS_DEMO_PORTS']}/hook")
    sizes = []
    for _ in range(DELIVERIES // CHUNK):
        world.write_events(webhooks, CHUNK)
        _wait_for_deliveries()
        sizes.append(_resident_size(pid))
    return sizes


def _wait_for_deliveries():
    """Wait until the chunk is delivered, and clear it away, so that the database stays as it is."""
    from tms_webhooks.models import Delivery, DeliveryAttempt, Event

    environment.wait(lambda: Delivery.objects.filter(status="delivered").count() >= CHUNK, seconds=PATIENCE)
    for model in (DeliveryAttempt, Delivery, Event):
        model.objects.all()._raw_delete(using="default")


def _resident_size(pid):
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 2)
