"""How fast a drain delivers with each transport, compared with a plain `requests` loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tests.bench import environment
from tests.bench.environment import TRANSPORTS, ratios, sized
from tests.bench.figures import Figure
from tests.bench.supply import Group, fill

ROUNDS = 3
TIMEOUT = 400


class Receiver(NamedTuple):
    """The receiver of some webhooks: its response time in seconds, and the requests of each way in a round.

    ``threads`` is the number with which the `requests` loop is fastest.
    """

    title: str
    webhooks: int
    delay: float
    threads: int
    counts: Mapping[str, int]


RECEIVERS = {
    "instant": Receiver(
        "receiver without delay",
        10,
        0.0,
        8,
        {"curl": sized(12_000), "threads": sized(4_000), "requests": sized(4_000)},
    ),
    "slow": Receiver(
        "receivers of 100 ms",
        sized(200),
        0.1,
        64,
        {"curl": sized(10_000), "threads": sized(2_500), "requests": sized(2_500)},
    ),
}
TARGETS = {
    ("instant", "curl"): {"sqlite": 3.5, "postgres": 2.8},
    ("slow", "curl"): {"sqlite": 5.0, "postgres": 4.0},
}
FIGURES = tuple(
    figure
    for name, receiver in RECEIVERS.items()
    for way, title in TRANSPORTS.items()
    for figure in (
        Figure(f"{name}_{way}_rate", f"{receiver.title}, {title}: deliveries", "/s"),
        Figure(
            f"{name}_{way}_ratio",
            f"{receiver.title}, {title}: rate, divided by that of the `requests` loop",
            at_least=TARGETS.get((name, way)),
        ),
        Figure(f"{name}_{way}_cpu", f"{receiver.title}, {title}: CPU time of a delivery", "µs"),
    )
)


def run(*, db, rounds):
    """Run each way in each round, one after the other."""
    report = {}
    with environment.database(db):
        for name, receiver in RECEIVERS.items():
            found = _measure(receiver, rounds)
            loop = [one["rate"] for one in found["requests"]]
            for way in TRANSPORTS:
                rates = [one["rate"] for one in found[way]]
                report[f"{name}_{way}_rate"] = rates
                report[f"{name}_{way}_ratio"] = ratios(rates, loop)
                report[f"{name}_{way}_cpu"] = [one["cpu_us"] for one in found[way]]
    return report


def _measure(receiver, rounds):
    counts = receiver.counts
    found = {way: [] for way in counts}
    with environment.receiver(receiver.delay) as port:
        for _ in range(rounds):
            found["requests"].append(environment.figures("loops", "requests", counts["requests"], receiver.threads))
            for way in TRANSPORTS:
                fill(Group(port, receiver.webhooks, counts[way]))
                found[way].append(environment.figures("loops", "drain", counts[way], **environment.using(way)))
    return found
