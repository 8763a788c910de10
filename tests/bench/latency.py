"""How long an idle system takes from just before the commit of a change to the arrival of its request."""

from __future__ import annotations

from tests.bench import environment
from tests.bench.environment import sized
from tests.bench.figures import Figure

ROUNDS = 3
TIMEOUT = 180
EVENTS = sized(100)
WARM_UP = 25

FIGURES = (
    Figure("p50", "time from before `COMMIT` to the request, median", "ms", at_most={"sqlite": 3.5, "postgres": 4}),
    Figure("p95", "the same, p95", "ms", at_most=6),
)
SHARES = {"p50": 0.5, "p95": 0.95}


def run(*, db, rounds):
    """Measure a cluster as installed: a commit wakes its resident drain by a datagram."""
    notes = environment.Notes()
    stamps = []
    with environment.database(db), environment.receiver(notes=notes):
        environment.figures("saves", "fill")
        with environment.managed("qcluster"):
            environment.figures("stamps", "attended")
            environment.figures("stamps", "stamped", WARM_UP)
            for _ in range(rounds):
                stamps.append(environment.figures("stamps", "stamped", EVENTS))
            environment.figures("stamps", "settled")
    taken = [[(notes.arrivals[name] - moment) * 1000 for name, moment in one.items()] for one in stamps]
    return {name: [environment.percentile(times, share) for times in taken] for name, share in SHARES.items()}
