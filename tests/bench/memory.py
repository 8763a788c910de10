"""Whether a worker grows: its resident size after the first ten thousand deliveries and after a hundred thousand."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench import environment

DELIVERIES = 100_000
CHUNK = 10_000
"""So many are in the database at a time, which is the warm-up as well."""
PATIENCE = 120.0


def run(*, db: str, rounds: int) -> dict[str, Any]:
    """Watch one worker deliver them all. One round is long enough, so more are not made."""
    with (
        environment.database(db) as url,
        environment.receiver() as port,
        environment.managed("webhooks_drain", url=url, port=port) as worker,
    ):
        sizes = environment.figures("memory", worker.pid, url=url, port=port)
    return {
        "deliveries": DELIVERIES,
        "rounds": min(rounds, 1),
        "rss_warm_mb": sizes[0],
        "rss_end_mb": sizes[-1],
        "rss_most_mb": max(sizes),
        "growth": round(sizes[-1] / sizes[0] - 1, 4),
    }


def feed(pid: int) -> list[float]:
    """Have the worker deliver chunk after chunk; return its resident size in megabytes after each."""
    from tests.bench import world

    webhooks = world.make_webhooks(10, f"http://127.0.0.1:{os.environ['TMS_DEMO_PORTS']}/hook")
    sizes = []
    for _ in range(DELIVERIES // CHUNK):
        world.write_events(webhooks, CHUNK)
        _wait_for_deliveries()
        sizes.append(_resident_size(pid))
    return sizes


def _wait_for_deliveries() -> None:
    """Wait until the chunk is delivered, and clear it away, so that the database stays as it is."""
    from tms_webhooks.models import Delivery, DeliveryAttempt, Event

    end = time.monotonic() + PATIENCE
    while Delivery.objects.filter(status="delivered").count() < CHUNK:
        assert time.monotonic() < end, "The worker is too slow."
        time.sleep(0.05)
    for model in (DeliveryAttempt, Delivery, Event):
        model.objects.all()._raw_delete(using="default")


def _resident_size(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 2)


if __name__ == "__main__":
    import django

    django.setup()
    print(json.dumps(feed(int(sys.argv[1]))))
