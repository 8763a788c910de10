"""What capture adds to a save, and how long a save takes while a drain works on a backlog."""

from __future__ import annotations

from typing import Any

from tests.bench import place

SAVES = 200
"""Saves of each case in a round."""
BACKLOG = 40_000
SECONDS = 4.0


def run(*, db: str, rounds: int) -> dict[str, Any]:
    """Return the median save of each case in microseconds, the ratios to the bare one, and saves beside a drain."""
    with place.database(db) as url, place.receiver() as port:
        place.figures("saves", "fill", url=url, port=port)
        # Somebody who hears the ring and does nothing about it: a drain would change what is measured.
        with place.managed("shell", "-c", LISTEN, url=url, port=port) as listener:
            assert listener.stdout is not None
            assert listener.stdout.readline()
            costs = place.figures("saves", "cost", rounds, SAVES, url=url, port=port)
        report = _compare(costs)
        report["save_idle_ms"] = place.figures("saves", "pace", SECONDS, url=url, port=port)
        place.figures("saves", "backlog", BACKLOG, url=url, port=port)
        with place.managed("webhooks_drain", url=url, port=port):
            report["save_while_draining_ms"] = place.figures("saves", "pace", SECONDS, url=url, port=port)
        report["backlog_left"] = place.figures("saves", "left", url=url, port=port)
    assert report["backlog_left"], "The drain was idle before the saves were over; give it a larger BACKLOG."
    return {
        **report,
        "save_p95_ms_while_draining": report["save_while_draining_ms"]["p95"],
        "save_p95_ms_idle": report["save_idle_ms"]["p95"],
    }


LISTEN = """
import time
from tms_webhooks.queues.wakeup import Listener
Listener("default", lambda: None)
print("listening", flush=True)
time.sleep(600)
"""


def _compare(costs: dict[str, list[float]]) -> dict[str, Any]:
    """Return the medians, and the ratios round by round: both sides of a round saw the same neighbours."""
    report: dict[str, Any] = {f"save_{case}_us": place.middle(times, 1) for case, times in costs.items()}
    bare = costs.pop("bare")
    for case, times in costs.items():
        report[f"ratio_{case}"] = place.middle([one / other for one, other in zip(times, bare, strict=True)])
    return report
