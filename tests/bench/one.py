"""How fast one webhook is served as installed, and how much its receiver gets to bear."""

from __future__ import annotations

from tests.bench import environment
from tests.bench.environment import lasting, ratios, sized
from tests.bench.figures import Figure
from tests.bench.supply import Group, fill

ROUNDS = 3
TIMEOUT = 400
EVENTS = sized(10_000)
DELAY = 0.1
LONGEST = lasting(90.0, least=5.0)
"""Seconds after which the run of all events ends, if it is far too slow. Their time is then extrapolated."""
ONE_AT_A_TIME = 0.05
EVENTS_ONE_AT_A_TIME = sized(100)
FAST = 0.002
FAST_SECONDS = lasting(2.0)
FAST_EVENTS = sized(8_000, least=200)

FIGURES = (
    Figure("seconds", f"{EVENTS:,} events for one webhook, whose receiver takes 100 ms", "s", at_most=60),
    Figure("peak", "requests at the same time for a receiver that serves one at a time", at_most=3),
    Figure(
        "two_writes", "rate of a receiver that writes head and body apart, divided by one that does not", at_least=0.5
    ),
)


def run(*, db, rounds):
    """Serve the webhook with many events once, and the three other receivers in each round."""
    fast = []
    two_writes = []
    peaks = []
    with environment.database(db):
        many, _notes = _serve(EVENTS, LONGEST, delay=DELAY)
        for _ in range(rounds):
            fast.append(_serve(FAST_EVENTS, FAST_SECONDS, delay=FAST)[0]["rate"])
            two_writes.append(_serve(FAST_EVENTS, FAST_SECONDS, delay=FAST, two_writes=True)[0]["rate"])
            _figures, notes = _serve(EVENTS_ONE_AT_A_TIME, LONGEST, delay=ONE_AT_A_TIME, one_at_a_time=True)
            peaks.append(notes.peak)
    return {"seconds": [EVENTS / many["rate"]], "peak": peaks, "two_writes": ratios(two_writes, fast)}


def _serve(events, seconds, **receiver):
    """Deliver so many events to one webhook, for so many seconds at most."""
    notes = environment.Notes()
    with environment.receiver(**receiver, notes=notes) as port:
        fill(Group(port, events=events))
        figures = environment.figures("loops", "drain", events, seconds)
    return figures, notes
