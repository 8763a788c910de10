"""What capture adds to a save, and how long a save takes while a drain works on a backlog."""

from __future__ import annotations

from tests.bench import environment
from tests.bench.environment import lasting, ratios, sized
from tests.bench.figures import Figure

ROUNDS = 5
TIMEOUT = 240
SAVES = sized(200, least=25)
"""Saves of each case in a round."""
BACKLOG = sized(40_000, least=15_000)
SECONDS = lasting(4.0, least=0.5)
"""For which saves are measured during a drain, over all rounds."""

FIGURES = (
    Figure("bare", "a save without capture", "µs"),
    Figure(
        "ratio_0",
        "captured, no webhook: duration, divided by one without capture",
        at_most={"sqlite": 1.3, "postgres": 1.5},
    ),
    Figure("ratio_1", "captured, one webhook: the same", at_most={"sqlite": 3.0, "postgres": 2.2}),
    Figure("ratio_100", "captured, 100 webhooks: the same"),
    Figure("idle_p95", "captured, one webhook, every 5 ms, no drain: p95", "ms"),
    Figure("draining_p95", "the same while a drain delivers: p95", "ms", at_most=8),
)
LISTEN = """
from selectors import DefaultSelector
from tms_webhooks.queues.wakeup import WakeUpListener
selector = DefaultSelector()
listener = WakeUpListener("default", selector, lock=(1, 1))
print("listening", flush=True)
while True:
    selector.select()
    listener.collect()
"""


def run(*, db, rounds):
    """Measure the saves of each case, and saves during a drain."""
    with environment.database(db), environment.receiver():
        environment.figures("saves", "fill")
        # A listener that receives the wake-ups and does nothing: a drain would change the measurement.
        with environment.managed("shell", "-c", LISTEN) as listener:
            assert listener.stdout is not None
            assert listener.stdout.readline()
            costs = environment.figures("saves", "cost", rounds, SAVES)
        steadily = ("saves", "steadily", SECONDS / rounds, rounds)
        idle = environment.figures(*steadily)
        environment.figures("saves", "backlog", BACKLOG)
        with environment.managed("webhooks_drain"):
            draining = environment.figures(*steadily)
        left = environment.figures("saves", "left")
    assert left, "The drain was idle before the saves were over; give it a larger BACKLOG."
    compared = {f"ratio_{case}": ratios(costs[case], costs["bare"]) for case in ("0", "1", "100")}
    return {"bare": costs["bare"], **compared, "idle_p95": idle, "draining_p95": draining}
