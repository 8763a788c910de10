"""How long pages of the API take over a million deliveries, and of the feed over a hundred thousand events of a large organization."""

from __future__ import annotations

from typing import Any

from tests.bench import environment

DELIVERIES = 1_000_000
PAGES = 40
"""Requests of each kind in a round."""
MOST_ROUNDS = 3


def run(*, db: str, rounds: int) -> dict[str, Any]:
    """Fill a database once, ask, and return the median and the 95th percentile of each kind of page in milliseconds."""
    with environment.database(db) as url, environment.receiver() as port:
        environment.figures("lists", "fill", DELIVERIES, url=url, port=port)
        times: dict[str, list[float]] = {}
        for _ in range(min(rounds, MOST_ROUNDS)):
            for kind, found in environment.figures("lists", "ask", PAGES, url=url, port=port).items():
                times.setdefault(kind, []).extend(found)
    report: dict[str, Any] = {}
    for kind, found in times.items():
        report[kind] = {
            "p50": round(environment.percentile(found, 0.5), 1),
            "p95": round(environment.percentile(found, 0.95), 1),
        }
    return report
