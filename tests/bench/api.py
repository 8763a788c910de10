"""How long pages of the API take over 4 million deliveries, beside a thousand."""

from __future__ import annotations

from typing import Any

from tests.bench import environment

SIZES = (1_000, 4_000_000)
PAGES = 40
"""Requests of each kind in a round."""
MOST_ROUNDS = 3


def run(*, db: str, rounds: int) -> dict[str, Any]:
    """Fill a database of each size, ask, and return the percentiles of each kind of page in milliseconds, and their ratio."""
    few, many = (_times(size, db=db, rounds=rounds) for size in SIZES)
    report: dict[str, Any] = {}
    for kind, found in many.items():
        before, after = environment.percentile(few[kind], 0.95), environment.percentile(found, 0.95)
        report[kind] = {
            "p50": round(environment.percentile(found, 0.5), 1),
            "p95": round(after, 1),
            "p95_of_a_thousand": round(before, 1),
            "ratio": round(after / before, 2),
        }
    return report


def _times(size: int, *, db: str, rounds: int) -> dict[str, list[float]]:
    """Return the milliseconds of each request, by the kind of page, over so many deliveries."""
    with environment.database(db) as url, environment.receiver() as port:
        environment.figures("lists", "fill", size, url=url, port=port)
        times: dict[str, list[float]] = {}
        for _ in range(min(rounds, MOST_ROUNDS)):
            for kind, found in environment.figures("lists", "ask", PAGES, url=url, port=port).items():
                times.setdefault(kind, []).extend(found)
    return times
