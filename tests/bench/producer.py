"""What capture adds to a save, and how long a save takes while a drain works on a backlog."""

from __future__ import annotations

from typing import Any

from tests.bench import environment

SAVES = 200
"""Saves of each case in a round."""
BACKLOG = 40_000
SECONDS = 4.0


def run(*, db: str, rounds: int) -> dict[str, Any]:
    """Return the median save of each case in microseconds, the ratios to the bare one, and saves during a drain."""
    with environment.database(db) as url, environment.receiver() as port:
        environment.figures("saves", "fill", url=url, port=port)
        # A listener that receives the wake-ups and does nothing: a drain would change the measurement.
        with environment.managed("shell", "-c", LISTEN, url=url, port=port) as listener:
            assert listener.stdout is not None
            assert listener.stdout.readline()
            costs = environment.figures("saves", "cost", rounds, SAVES, url=url, port=port)
        report = _compare(costs)
        report["save_idle_ms"] = environment.figures("saves", "steadily", SECONDS, url=url, port=port)
        environment.figures("saves", "backlog", BACKLOG, url=url, port=port)
        with environment.managed("webhooks_drain", url=url, port=port):
            report["save_while_draining_ms"] = environment.figures("saves", "steadily", SECONDS, url=url, port=port)
        report["backlog_left"] = environment.figures("saves", "left", url=url, port=port)
    assert report["backlog_left"], "The drain was idle before the saves were over; give it a larger BACKLOG."
    return {
        **report,
        "save_p95_ms_while_draining": report["save_while_draining_ms"]["p95"],
        "save_p95_ms_idle": report["save_idle_ms"]["p95"],
    }


LISTEN = """
from selectors import DefaultSelector
from tms_webhooks.queues.wakeup import WakeUpListener
selector = DefaultSelector()
listener = WakeUpListener("default", selector)
print("listening", flush=True)
while True:
    selector.select()
    listener.collect()
"""


def _compare(costs: dict[str, list[float]]) -> dict[str, Any]:
    """Return the medians, and the ratios round by round: both sides of a round saw the same neighbors."""
    report: dict[str, Any] = {f"save_{case}_us": environment.middle(times, 1) for case, times in costs.items()}
    bare = costs.pop("bare")
    for case, times in costs.items():
        report[f"ratio_{case}"] = environment.middle([one / other for one, other in zip(times, bare, strict=True)])
    return report
