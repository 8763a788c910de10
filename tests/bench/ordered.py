"""How fast an ordered webhook is served, alone and together with two webhooks that always have more due."""

from __future__ import annotations

from typing import Any

from tests.bench import environment
from tests.bench.supply import Group, fill

DELAY = 0.01
EVENTS = 2_000
"""For the ordered webhook, which gets at most a hundred a second."""
BUSY_EVENTS = 40_000
"""For the two others together, whose receivers answer immediately."""
RUN = 6.0
"""Seconds that a drain works."""
WARM_UP = 1.0
MEASURED = 4.0
"""Seconds that are measured, from the end of the warm-up until the two others have had everything at the latest."""
SHORTEST = 1.0
PATIENCE = 60.0


def run(*, db: str, rounds: int) -> dict[str, Any]:
    """Return the figures of each transport."""
    return environment.per_transport(lambda transport: _measure(db, rounds, transport))


def _measure(db: str, rounds: int, transport: str) -> dict[str, float]:
    alone, together = [], []
    with environment.database(db) as url:
        for _ in range(rounds):
            alone.append(_rate(url, transport, busy_events=0))
            together.append(_rate(url, transport, busy_events=BUSY_EVENTS))
    return {
        "per_second_alone": environment.middle(alone, 1),
        "per_second": environment.middle(together, 1),
        "ratio_alone": environment.middle([two / one for one, two in zip(alone, together, strict=True)]),
    }


def _rate(url: str, transport: str, *, busy_events: int) -> float:
    """Return the deliveries to the ordered webhook per second."""
    ordered, busy = environment.Notes(), environment.Notes()
    with environment.receiver(DELAY, notes=ordered) as port, environment.receiver(notes=busy) as busy_port:
        fill(
            url,
            Group(port, events=EVENTS, fields={"ordered": True}),
            Group(busy_port, webhooks=2, events=busy_events),
            fan_out=True,
        )
        environ = environment.using(transport) | {"TMS_DEMO_PORTS": f"{port},{busy_port}"}
        with environment.managed("webhooks_drain", "--seconds", str(RUN), url=url, port=port, **environ) as drain:
            drain.wait(PATIENCE)
    begin = min([*ordered.arrivals.values(), *busy.arrivals.values()]) + WARM_UP
    end = begin + MEASURED
    if busy_events:
        end = min(end, max(busy.arrivals.values()))
        assert end - begin >= SHORTEST, "The two others were served too soon; give them more BUSY_EVENTS."
    return sum(begin <= moment < end for moment in ordered.arrivals.values()) / (end - begin)
