"""What a claim costs with a long history and a long backlog, and with thousands of webhooks that wait for retries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tests.bench import environment

Figures = Mapping[str, float]

FEW, MANY = 10_000, 1_000_000
WEBHOOKS = 5_000
ROUNDS = 3
"""Filling a database with a million rows takes most of the time, so more rounds than this are not made."""


def run(*, db: str, rounds: int) -> dict[str, Any]:
    """Measure in a fresh database for each depth, ``rounds`` times, and return the medians and the ratios."""
    few, many, waiting = [], [], []
    for _ in range(min(rounds, ROUNDS)):
        few.append(_measure(db, "rows", FEW))
        many.append(_measure(db, "rows", MANY))
        waiting.append(_measure(db, "waiting", WEBHOOKS))
    pairs = list(zip(few, many, strict=True))
    throughput = environment.installed_first({name: _throughput(pairs, name) for name in environment.transports()})
    return {
        **throughput,
        "claim_ms_10k": environment.middle([one["claim_ms"] for one in few]),
        "claim_ms_1m": environment.middle([one["claim_ms"] for one in many]),
        "claim_ratio": environment.middle([large["claim_ms"] / small["claim_ms"] for small, large in pairs]),
        "claim_ms_5000_webhooks_waiting": environment.middle([one["claim_ms"] for one in waiting]),
        "idle_look_ms_5000": environment.middle([one["idle_look_ms"] for one in waiting]),
    }


def _throughput(pairs: Sequence[tuple[Figures, Figures]], transport: str) -> dict[str, float]:
    few, many = ([one[f"{transport}_per_second"] for one in depth] for depth in zip(*pairs, strict=True))
    return {
        "per_second_10k": environment.middle(few, 0),
        "per_second_1m": environment.middle(many, 0),
        "throughput_ratio": environment.middle([large / small for small, large in zip(few, many, strict=True)]),
    }


def _measure(db: str, way: str, number: int) -> Figures:
    with environment.database(db) as url, environment.receiver() as port:
        figures: Figures = environment.figures("depth", way, number, url=url, port=port)
    return figures
