"""How fast a worker delivers to many slow receivers with each transport, compared with a plain `requests` loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.bench import environment
from tests.bench.supply import Group, fill
from tests.bench.throughput import ratio

WEBHOOKS = 200
"""Each in an organization of its own."""
DELAY = 0.1
THREADS = 64
COUNTS = {"curl": 12_000, "threads": 3_000, "requests": 3_000}
"""Requests of each in a round, so that each takes a few seconds."""


def run(*, db: str, rounds: int) -> dict[str, Any]:
    """Run each way ``rounds`` times, alternating, and return the medians and the ratios."""
    names = environment.transports()
    found: dict[str, list[Mapping[str, float]]] = {name: [] for name in ("requests", *names)}
    with environment.database(db) as url, environment.receiver(DELAY) as port:
        for _ in range(rounds):
            found["requests"].append(
                environment.figures("loops", "requests", COUNTS["requests"], THREADS, url=url, port=port)
            )
            for name in names:
                fill(url, Group(port, WEBHOOKS, COUNTS[name]))
                found[name].append(
                    environment.figures("loops", "drain", COUNTS[name], url=url, port=port, **environment.using(name))
                )
    reports = {
        name: {
            "per_second": environment.middle([one["rate"] for one in found[name]], 0),
            "requests_per_second": environment.middle([one["rate"] for one in found["requests"]], 0),
            "cpu_us": environment.middle([one["cpu_us"] for one in found[name]], 0),
            "ratio_to_requests": ratio(found[name], found["requests"]),
        }
        for name in names
    }
    return environment.installed_first(reports)
