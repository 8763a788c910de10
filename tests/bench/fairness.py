"""Whether a healthy receiver notices its neighbors: one that hangs until the timeout, and one that answers 500."""

from __future__ import annotations

from tests.bench import environment
from tests.bench.environment import ratios, sized
from tests.bench.figures import Figure

ROUNDS = 3
TIMEOUT = 300
EVENTS = sized(500)
RATE = 100
"""Events a second."""
NEVER = 3_600.0

FIGURES = (
    Figure("alone", "a webhook alone, p95 of the time from `COMMIT` to the request", "ms"),
    Figure("ratio", "next to one that hangs and one that answers 500: p95, divided by p95 alone", at_most=1.3),
)


def run(*, db, rounds):
    """Commit the events steadily, for the healthy receiver alone and for all three, and compare its p95."""
    alone = []
    together = []
    with environment.database(db):
        for _ in range(rounds):
            alone.append(_p95(neighbors=False))
            together.append(_p95(neighbors=True))
    return {"alone": alone, "ratio": ratios(together, alone)}


def _p95(*, neighbors):
    """Return how long an event took from its commit to the healthy receiver, in milliseconds."""
    notes = environment.Notes()
    with (
        environment.receiver(notes=notes) as healthy,
        environment.receiver(NEVER) as hanging,
        environment.receiver(status=500) as failing,
    ):
        ports = [healthy, hanging, failing] if neighbors else [healthy]
        environment.figures("neighbors", "settle", *ports)
        with environment.managed("webhooks_drain"):
            stamps = environment.figures("neighbors", "steadily", EVENTS, RATE)
    missing = stamps.keys() - notes.arrivals.keys()
    assert not missing, f"{len(missing)} of {len(stamps)} never arrived"
    return environment.percentile([(notes.arrivals[key] - stamp) * 1000 for key, stamp in stamps.items()], 0.95)
