"""How long an idle system takes from just before the commit of a change to the arrival of its request."""

from __future__ import annotations

from typing import Any

from tests.bench import environment
from tests.bench.saves import SHARES

EVENTS = 100
"""So many in a round, 25 a second."""
WARM_UP = 25
WITHOUT_DRAIN = {"QUEUE": "tms_webhooks.queues.silent.SilentQueue"}


def run(*, db: str, rounds: int, variants: bool = False) -> dict[str, Any]:
    """Measure the way that is installed: a cluster whose resident drain is woken by a datagram.

    Each transport is measured. The variants are NOTIFY, as from another host; no wake-up, so that the drain finds the
    event itself; and no resident drain, so that each commit enqueues a task in django-q2's ORM broker.
    """
    report: dict[str, Any] = {
        "way": "a cluster's resident drain, woken by datagram",
        **environment.per_transport(lambda transport: _measure(db, "installed", rounds, transport)),
    }
    if variants:
        ways = ("notify", "poll", "task") if db == "postgres" else ("poll", "task")
        report |= {way: _measure(db, way, rounds, environment.transports()[0]) for way in ways}
    return report


def _measure(db: str, wake_by: str, rounds: int, transport: str) -> dict[str, float]:
    notes = environment.Notes()
    stamps: list[dict[str, float]] = []
    environ = environment.using(transport, **WITHOUT_DRAIN if wake_by == "task" else {})
    with environment.database(db) as url, environment.receiver(notes=notes) as port:
        environment.figures("saves", "fill", url=url, port=port)
        with environment.managed("qcluster", url=url, port=port, **environ):
            if wake_by != "task":
                environment.figures("stamps", "attended", url=url, port=port)
            environment.figures("stamps", "stamped", WARM_UP, wake_by, url=url, port=port)
            for _ in range(rounds):
                stamps.append(environment.figures("stamps", "stamped", EVENTS, wake_by, url=url, port=port))
            environment.figures("stamps", "settled", url=url, port=port)
    taken = [[(notes.arrivals[name] - moment) * 1000 for name, moment in one.items()] for one in stamps]
    return {
        f"{name}_ms": environment.middle([environment.percentile(times, share) for times in taken])
        for name, share in SHARES.items()
    } | {"max_ms": round(max(map(max, taken)), 2)}
