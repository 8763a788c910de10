"""How long an event waits for the costliest conditions of another organization, in the fan-out."""

from __future__ import annotations

from typing import Any

from tests.bench import environment


def run(*, db: str, rounds: int) -> dict[str, Any]:
    """Fan out one event beside 40 events of an organization with 200 subscriptions of the largest size.

    Return milliseconds from the first turn to the delivery of the one event: alone, beside conditions that are new to
    the process, and beside known ones; and the seconds that the 40 events take.
    """
    with environment.database(db) as url:
        figures: dict[str, list[float]] = environment.figures("conditions", rounds, url=url, port=1)
    first, *others = figures["waits"]
    return {
        "alone_ms": environment.middle(figures["alone"], 1),
        "first_wait_ms": round(first, 1),
        "wait_ms": environment.middle(others, 1),
        "costly_seconds": environment.middle(figures["costly"], 2),
    }
