"""How fast one webhook is served as installed, and how much its receiver gets to bear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.bench import environment
from tests.bench.supply import Group, fill
from tests.bench.throughput import ratio

EVENTS = 10_000
DELAY = 0.1
LONGEST = 120.0
"""Seconds after which a run that is far too slow ends: its time is counted up."""
ROUNDS = 3
"""More rounds than this are not made of the other receivers, and one of the ten thousand events."""
ONE_AT_A_TIME = 0.05
EVENTS_ONE_AT_A_TIME = 300
FAST = 0.002
FAST_SECONDS = 5.0
"""Seconds for which the rates of the two fast receivers are measured."""
FAST_EVENTS = 20_000


def run(*, db: str, rounds: int) -> dict[str, Any]:
    """Return the figures of each transport."""
    return environment.per_transport(lambda transport: _measure(db, min(rounds, ROUNDS), transport))


def _measure(db: str, rounds: int, transport: str) -> dict[str, float]:
    fast: list[Mapping[str, float]] = []
    two_writes: list[Mapping[str, float]] = []
    one_at_a_time: list[environment.Notes] = []
    with environment.database(db) as url:
        many, _notes = _serve(url, transport, EVENTS, LONGEST, delay=DELAY)
        for _ in range(rounds):
            fast.append(_serve(url, transport, FAST_EVENTS, FAST_SECONDS, delay=FAST)[0])
            two_writes.append(_serve(url, transport, FAST_EVENTS, FAST_SECONDS, delay=FAST, two_writes=True)[0])
            _figures, notes = _serve(
                url, transport, EVENTS_ONE_AT_A_TIME, LONGEST, delay=ONE_AT_A_TIME, one_at_a_time=True
            )
            one_at_a_time.append(notes)
    return {
        "seconds": round(EVENTS / many["rate"], 1),
        "delivered": many["done"],
        "per_second": environment.middle([many["rate"]], 0),
        "one_at_a_time_peak": max(notes.peak for notes in one_at_a_time),
        "two_ms_per_second": environment.middle([one["rate"] for one in fast], 0),
        "two_writes_per_second": environment.middle([one["rate"] for one in two_writes], 0),
        "two_writes_ratio": ratio(two_writes, fast),
    }


def _serve(
    url: str, transport: str, events: int, seconds: float, **receiver: Any
) -> tuple[Mapping[str, float], environment.Notes]:
    """Deliver so many events to one webhook, for so many seconds at most."""
    notes = environment.Notes()
    with environment.receiver(**receiver, notes=notes) as port:
        fill(url, Group(port, events=events))
        environ = environment.using(transport)
        figures = environment.figures("loops", "drain", events, seconds, url=url, port=port, **environ)
    return figures, notes
