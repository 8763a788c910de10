"""Run periodic jobs in a process without a queue that would schedule them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

from django.db import close_old_connections, connections
from django.utils.module_loading import import_string

from tms_webhooks.delivery import replay
from tms_webhooks.queues.base import PeriodicJob

SECONDS = {replay.WORK: 5.0}
"""Intervals below the job's own. Replay jobs send no wake-up, and a user waits for their start."""
LEAVING = 5.0
"""Seconds that the end waits for a running job."""

logger = logging.getLogger(__name__)


class Timer:
    """Runs jobs one after the other, each when it is due. At the start all are due."""

    def __init__(self, jobs: Sequence[PeriodicJob], *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._jobs = jobs
        self._due_at = dict.fromkeys((job.function for job in jobs), clock())

    def run_due(self) -> float:
        """Run the due jobs and return the seconds until the next one. A failing job is logged."""
        for job in self._jobs:
            if self._clock() >= self._due_at[job.function]:
                self._run(job)
                self._due_at[job.function] = self._clock() + SECONDS.get(job.function, 60.0 * job.minutes)
        return max(0.0, min(self._due_at.values()) - self._clock())

    def _run(self, job: PeriodicJob) -> None:
        try:
            import_string(job.function)()
        except Exception:
            logger.exception("%s failed; the next run is after its usual interval.", job.name)


@contextmanager
def ticking(jobs: Sequence[PeriodicJob]) -> Iterator[None]:
    """Run these jobs periodically in a thread, while the ``with`` block runs."""
    over = threading.Event()

    def tick() -> None:
        timer = Timer(jobs)
        try:
            while not over.wait(timer.run_due()):
                close_old_connections()
        finally:
            connections.close_all()

    thread = threading.Thread(target=tick, name="webhook-timer", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        # A job that takes longer is rolled back, and the next process repeats it.
        thread.join(LEAVING)
