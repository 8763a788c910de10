"""How fast an ordered webhook is served, alone and together with two webhooks that always have more due."""

from __future__ import annotations

from tests.bench import environment
from tests.bench.environment import ratios, sized
from tests.bench.figures import Figure
from tests.bench.supply import Group, fill

ROUNDS = 3
TIMEOUT = 300
DELAY = 0.01
EVENTS = sized(600, least=400)
"""For the ordered webhook, which gets at most a hundred a second."""
BUSY_EVENTS = sized(25_000, least=15_000)
"""For the two others together, whose receivers answer immediately."""
RUN = 4.0
"""Seconds that a drain works."""
WARM_UP = 0.5
MEASURED = 3.0
"""Seconds that are measured, from the end of the warm-up until the two others have had everything at the latest."""
PATIENCE = 60.0

FIGURES = (
    Figure("alone", "an ordered webhook alone, whose receiver takes 10 ms: deliveries", "/s"),
    Figure("ratio", "next to two webhooks that always have more due: rate, divided by the rate alone", at_least=0.75),
)


def run(*, db, rounds):
    """Measure the ordered webhook alone and next to the others, in each round."""
    alone = []
    together = []
    with environment.database(db):
        for _ in range(rounds):
            alone.append(_rate(0))
            together.append(_rate(BUSY_EVENTS))
    return {"alone": alone, "ratio": ratios(together, alone)}


def _rate(busy_events):
    """Return the deliveries to the ordered webhook per second."""
    ordered, busy = environment.Notes(), environment.Notes()
    with environment.receiver(DELAY, notes=ordered) as port, environment.receiver(notes=busy) as busy_port:
        fill(
            Group(port, events=EVENTS, fields={"ordered": True}),
            Group(busy_port, webhooks=2, events=busy_events),
            fan_out=True,
        )
        with environment.managed("webhooks_drain", "--seconds", str(RUN)) as drain:
            drain.wait(PATIENCE)
    begin = min([*ordered.arrivals.values(), *busy.arrivals.values()]) + WARM_UP
    end = begin + MEASURED
    if busy_events:
        end = min(end, max(busy.arrivals.values()))
        assert end > begin, "The two others were served too soon; give them more BUSY_EVENTS."
    return sum(begin <= moment < end for moment in ordered.arrivals.values()) / (end - begin)
