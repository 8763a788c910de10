"""Whether a healthy receiver notices its neighbors: one that hangs until the timeout, and one that answers 500."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.bench import environment

COUNT = 1_000
RATE = 100
ROUNDS = 3
"""A round takes half a minute, so more than this are not made."""
NEVER = 3_600.0
BOLD = {"PAUSE_AFTER": 1_000_000}
"""Settings under which failing webhooks get requests on and on, so that their limits alone protect the healthy one."""


def run(*, db: str, rounds: int, variants: bool = False) -> dict[str, Any]:
    """Commit a thousand events steadily, for the healthy receiver alone and for all three, and compare its p95.

    Each transport is measured. The variants are the same with neighbors that are never paused, and with all events
    committed at once.
    """

    def measure(transport: str) -> dict[str, Any]:
        report = _compare(db, rounds, ("steadily", COUNT, RATE), environment.using(transport))
        if variants:
            bold = environment.using(transport, **BOLD)
            report["never_paused"] = _compare(db, rounds, ("steadily", COUNT, RATE), bold)
            report["at_once"] = _compare(db, rounds, ("at_once", COUNT), environment.using(transport))
        return report

    return environment.per_transport(measure)


def _compare(db: str, rounds: int, writing: Sequence[object], environ: dict[str, str]) -> dict[str, Any]:
    alone: list[list[float]] = []
    together: list[list[float]] = []
    with environment.database(db) as url:
        for _ in range(min(rounds, ROUNDS)):
            alone.append(_latencies(url, writing, environ, neighbors=False))
            together.append(_latencies(url, writing, environ, neighbors=True))
    shares = {"p50": 0.5, "p95": 0.95}
    alone_at = {name: [environment.percentile(times, share) for times in alone] for name, share in shares.items()}
    together_at = {name: [environment.percentile(times, share) for times in together] for name, share in shares.items()}
    ratios = {
        name: environment.middle([two / one for one, two in zip(alone_at[name], together_at[name], strict=True)])
        for name in shares
    }
    return {
        **{f"healthy_{name}_alone_ms": environment.middle(values) for name, values in alone_at.items()},
        **{f"healthy_{name}_ms": environment.middle(values) for name, values in together_at.items()},
        "healthy_p50_ratio": ratios["p50"],
        "healthy_p95_ratio": ratios["p95"],
    }


def _latencies(url: str, writing: Sequence[object], environ: dict[str, str], *, neighbors: bool) -> list[float]:
    """Return how long each event took from its commit to the healthy receiver, in milliseconds."""
    notes = environment.Notes()
    with (
        environment.receiver(notes=notes) as healthy,
        environment.receiver(NEVER) as hanging,
        environment.receiver(status=500) as failing,
    ):
        ports = [healthy, hanging, failing] if neighbors else [healthy]
        environ = environ | {"TMS_DEMO_PORTS": ",".join(map(str, ports))}
        environment.figures("neighbors", "settle", *ports, url=url, port=healthy, **environ)
        with environment.managed("webhooks_drain", url=url, port=healthy, **environ):
            stamps = environment.figures("neighbors", *writing, url=url, port=healthy, **environ)
    missing = stamps.keys() - notes.arrivals.keys()
    assert not missing, f"{len(missing)} of {len(stamps)} never arrived"
    return [(notes.arrivals[key] - stamp) * 1000 for key, stamp in stamps.items()]
