"""How long the admin takes to open the delivery log, filtered and searched too, when it is short and when it is long."""

from __future__ import annotations

from typing import Any

from tests.bench import environment

FEW, MANY = 10_000, 1_000_000


def run(*, db: str, rounds: int) -> dict[str, Any]:
    """Measure in a fresh database for each length; each page is opened ``rounds`` times, and the median taken."""
    report: dict[str, Any] = {}
    for name, number in (("10k", FEW), ("1m", MANY)):
        with environment.database(db) as url:
            found = environment.figures("pages", number, rounds, url=url, port=0)
        report |= {f"{page}_ms_{name}": milliseconds for page, milliseconds in found.items()}
    return report
