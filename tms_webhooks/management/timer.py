"""Run the periodic jobs that no queue runs, in the process of ``webhooks_drain``."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TypeAlias

from django.db import Error as DatabaseFailure
from django.db import close_old_connections, connections
from django.utils.module_loading import import_string

from tms_webhooks.choices import JobStatus
from tms_webhooks.db import clock as database_clock
from tms_webhooks.delivery import replay
from tms_webhooks.models import Job, PeriodicRun
from tms_webhooks.outbox.wake import DRAIN
from tms_webhooks.queues import Queue, get_queue, periodic_jobs, use_queue

TICK = 1.0
"""Seconds between two looks at which jobs are overdue, and whether a user has started one: that sends no wake-up."""
GRACE = timedelta(seconds=90)
"""For how long the queue may be late with a job. django-q2 looks at its schedules every 30 s."""
WORK_SECONDS = 5.0
"""Without a queue, the interval of the jobs that users start. It is below their own."""
LEAVING = 5.0
"""Seconds that the end waits for a running job."""

Call: TypeAlias = tuple[str, tuple[object, ...]]
"""A function, by its dotted path, and its arguments."""

logger = logging.getLogger(__name__)


class LocalQueue(Queue):
    """Keeps the rest of a job that ran out of time, for the timer. Drains are not enqueued: the command runs one."""

    keeps_drains = False

    def __init__(self) -> None:
        self.rest: deque[Call] = deque()

    def enqueue(self, function: str, *args: object) -> None:
        """Keep a call, unless the same one waits or it starts a drain."""
        if function != DRAIN and (function, args) not in self.rest:
            self.rest.append((function, args))


class Timer:
    """Runs overdue jobs, one after the other: those that no other process has begun within their interval.

    Several timers on one database share the jobs. If the configured queue runs periodic jobs, `GRACE` is added to the
    interval of each job. So the timer runs only those that the queue does not run.
    """

    def __init__(self, *, clock: Callable[[], datetime] = database_clock.measured_now) -> None:
        self._clock = clock
        self._queue = get_queue()
        self._local = LocalQueue()
        self._is_failing = False

    def run_due(self) -> float:
        """Run the overdue jobs and one rest of a long one; return the seconds until the next call."""
        jobs, grace = periodic_jobs(), GRACE
        try:
            if not self._queue.keeps_drains:
                seconds = TICK if Job.objects.filter(status=JobStatus.PENDING).exists() else WORK_SECONDS
                jobs = tuple(
                    job._replace(minutes=seconds / 60.0) if job.function == replay.WORK else job for job in jobs
                )
                grace = timedelta()
            # Those that began longer ago than they may have, or never.
            for job in PeriodicRun.objects.claim_due(jobs, clock=self._clock, grace=grace):
                self._run(job.function)
        except DatabaseFailure:
            if not self._is_failing:
                logger.exception("The database refused to say which periodic jobs are overdue; trying again.")
            self._is_failing = True
            return TICK
        self._is_failing = False
        self._run_rest()
        return 0.0 if self._local.rest else TICK

    def work_on_jobs(self, stop: threading.Event) -> bool:
        """Work on the jobs that users have started, such as replays; return whether some are unfinished."""
        if Job.objects.unfinished().exists():
            self._run(replay.WORK)
        while self._local.rest and not stop.is_set():
            self._run_rest()
        return Job.objects.unfinished().exists()

    def _run_rest(self) -> None:
        """Run one rest of a long job, if there is one."""
        if self._local.rest:
            function, args = self._local.rest.popleft()
            self._run(function, *args)

    def _run(self, function: str, *args: object) -> None:
        try:
            with use_queue(self._local):
                import_string(function)(*args)
        except Exception:
            logger.exception("%s failed; the next run is after its usual interval.", function)


@contextmanager
def ticking() -> Iterator[None]:
    """Run the periodic jobs in a thread, while the ``with`` block runs."""
    over = threading.Event()

    def tick() -> None:
        timer = Timer()
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
