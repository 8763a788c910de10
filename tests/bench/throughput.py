"""How fast a worker delivers with each transport, compared with a plain `requests` loop and with the bare transport."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from tests.bench import environment
from tests.bench.supply import Group, fill

WEBHOOKS = 10
COUNTS = {"curl": 12_000, "threads": 4_000, "requests": 4_000}
"""Requests of each in a round, so that each takes a second at least."""


class Scene(NamedTuple):
    """A receiver by its response time, with the numbers of requests in flight that suit it.

    The drain chooses for itself, as installed. The loop has the number of threads with which it is fastest.
    """

    delay: float
    threads: int
    in_flight: Mapping[str, int]


# 320: as many as ten webhooks may have.
SCENES = {
    "fast": Scene(0.0, 8, {"curl": 64, "threads": 8}),
    "20ms": Scene(0.02, 64, {"curl": 320, "threads": 64}),
}


def run(*, db: str, rounds: int) -> dict[str, Any]:
    """Run each way ``rounds`` times, alternating, and return the medians and the ratios."""
    scenes = {name: _compare(db, rounds, scene) for name, scene in SCENES.items()}
    reports = {
        transport: {**scenes["fast"][transport], "with_20ms_receiver": scenes["20ms"][transport]}
        for transport in environment.transports()
    }
    return environment.installed_first(reports)


def _compare(db: str, rounds: int, scene: Scene) -> dict[str, dict[str, float]]:
    found: dict[str, list[Mapping[str, float]]] = {}
    with environment.database(db) as url, environment.receiver(scene.delay) as port:
        for _ in range(rounds):
            found.setdefault("requests", []).append(
                environment.figures("loops", "requests", COUNTS["requests"], scene.threads, url=url, port=port)
            )
            for transport in environment.transports():
                environ, count = environment.using(transport), COUNTS[transport]
                bare = environment.figures(
                    "loops", "transport", count, scene.in_flight[transport], url=url, port=port, **environ
                )
                fill(url, Group(port, WEBHOOKS, count))
                drain = environment.figures("loops", "drain", count, url=url, port=port, **environ)
                found.setdefault(f"bare {transport}", []).append(bare)
                found.setdefault(transport, []).append(drain)
    return {
        transport: _report(found["requests"], found[f"bare {transport}"], found[transport])
        for transport in environment.transports()
    }


def _report(
    requests: list[Mapping[str, float]], bare: list[Mapping[str, float]], drain: list[Mapping[str, float]]
) -> dict[str, float]:
    return {
        "per_second": environment.middle([one["rate"] for one in drain], 0),
        "requests_per_second": environment.middle([one["rate"] for one in requests], 0),
        "transport_per_second": environment.middle([one["rate"] for one in bare], 0),
        "cpu_us": environment.middle([one["cpu_us"] for one in drain], 0),
        "requests_cpu_us": environment.middle([one["cpu_us"] for one in requests], 0),
        "transport_cpu_us": environment.middle([one["cpu_us"] for one in bare], 0),
        "ratio_to_requests": ratio(drain, requests),
        "ratio_to_transport": ratio(drain, bare),
    }


def ratio(above: list[Mapping[str, float]], below: list[Mapping[str, float]]) -> float:
    """Return the median ratio of two ways' rates."""
    # Round by round, because both sides of a round saw the same neighbors on the machine.
    return environment.middle([one["rate"] / other["rate"] for one, other in zip(above, below, strict=True)])
