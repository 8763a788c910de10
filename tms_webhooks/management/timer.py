"""What a queue would run regularly, for a process that does without one."""

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

# No bell tells of a job that somebody has ordered, and a person waits for it.
SECONDS = {replay.WORK: 5.0}
LEAVING = 5.0

logger = logging.getLogger(__name__)


class Timer:
    """Runs jobs, one after the other, each as soon as it is due: at first all of them."""

    def __init__(self, jobs: Sequence[PeriodicJob], *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._jobs = jobs
        self._due_at = dict.fromkeys((job.function for job in jobs), clock())

    def run_due(self) -> float:
        """Run what is due, and return for how many seconds nothing more will be. What fails is logged."""
        for job in self._jobs:
            if self._clock() >= self._due_at[job.function]:
                self._run(job)
                self._due_at[job.function] = self._clock() + SECONDS.get(job.function, 60.0 * job.minutes)
        return max(0.0, min(self._due_at.values()) - self._clock())

    def _run(self, job: PeriodicJob) -> None:
        try:
            import_string(job.function)()
        except Exception:
            logger.exception("%s failed; it is tried again in its time.", job.name)


@contextmanager
def ticking(jobs: Sequence[PeriodicJob]) -> Iterator[None]:
    """Run these jobs regularly, in a thread of their own, while the block lasts."""
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
        # What it is in the middle of is rolled back, should it take longer, and done by the next one.
        thread.join(LEAVING)
