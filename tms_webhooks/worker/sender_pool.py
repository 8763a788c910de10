"""The threads that send requests, as many as pay, and the queue in which they leave their results for the drain."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from time import monotonic, process_time, thread_time

from tms_webhooks.delivery.outgoing import SendResult, may_stop_webhook
from tms_webhooks.net.transports.client import Client
from tms_webhooks.worker.endpoint_queues import EndpointQueues
from tms_webhooks.worker.send import send

FIRST_THREADS = 2
# The share of one processor that this process may want and still start threads: more where they mostly wait.
BUSY = 0.75
BUSY_WAITING = 0.97
# Seconds over which the wanted processor time is measured.
MEASURED_OVER = 0.01
# To measure costs a little for each thread: while the processor is busy, it is measured again after so many seconds for
# each thread, at most BUSY_PAUSE. With two threads that soon, because both may be waiting for receivers that hang.
BUSY_PAUSE = 0.1
BUSY_PAUSE_EACH = 0.005
# One file for each thread: nanoseconds that it ran, nanoseconds that it waited for a processor, and how often. Linux
# only.
SCHEDULER_STATS = Path("/proc/self/task")


class SenderPool:
    """Threads that take requests from ``queues``, send them, and put the results into ``result_queue``.

    It begins small and grows while requests find no thread and the processor has time to spare. Threads pay where
    receivers are slow. Where the processor is the limit, as with a receiver on the same network, each further thread
    only makes all of them wait for Python's lock.
    """

    def __init__(
        self,
        *,
        queues: EndpointQueues,
        client: Client,
        clock: Callable[[], datetime],
        result_queue: ResultQueue,
        max_threads: int,
    ) -> None:
        self._queues = queues
        self._client = client
        self._clock = clock
        self._result_queue = result_queue
        self._max_threads = max_threads
        self._threads: list[threading.Thread] = []
        self._growing = threading.Lock()
        self._measured_at, self._cpu_seconds = monotonic(), cpu_seconds_wanted()
        self._next_check_at = self._measured_at

    def grow(self) -> None:
        """Start threads if requests wait for them, at most as many as there are already. Cheap to call often."""
        is_small = len(self._threads) < FIRST_THREADS
        if len(self._threads) >= self._max_threads or (not is_small and monotonic() < self._next_check_at):
            return
        if self._growing.acquire(blocking=False):
            try:
                self._grow()
            finally:
                self._growing.release()

    def stop(self) -> None:
        """Let each thread end after its present request, and wait for all of them."""
        self._queues.close()
        for thread in self._threads:
            thread.join()

    def _grow(self) -> None:
        count, missing = len(self._threads), self._queues.missing_threads
        if not missing:
            return
        new = min(missing, self._useful_threads() - count, self._max_threads - count)
        self._next_check_at = monotonic() + (MEASURED_OVER if new > 0 else min(BUSY_PAUSE, BUSY_PAUSE_EACH * count))
        for number in range(count, count + new):
            thread = threading.Thread(target=self._work, name=f"webhook-sender-{number}", daemon=True)
            # Only a thread that could be started can be joined.
            thread.start()
            self._threads.append(thread)

    def _useful_threads(self) -> int:
        """Return how many threads are worth having: as many as the processor serves, as far as that is known."""
        count = len(self._threads)
        if count < FIRST_THREADS:
            return FIRST_THREADS
        served = int(BUSY_WAITING * self._queues.threads_per_processor) if self._queues.waits_for_receivers else 0
        if served > count:
            return served
        # Requests that hang are not in that average yet: they occupy threads, and no processor.
        return count if self._is_processor_busy() else 2 * count

    def _is_processor_busy(self) -> bool:
        """Return whether this process has wanted most of one processor since the last measurement.

        Time spent waiting for a processor counts, too: another process may leave no spare time.
        """
        elapsed = monotonic() - self._measured_at
        if elapsed < MEASURED_OVER:
            return True
        before, self._cpu_seconds = self._cpu_seconds, cpu_seconds_wanted()
        self._measured_at = monotonic()
        return self._cpu_seconds - before > BUSY * elapsed

    def _work(self) -> None:
        """Send requests until the queues are closed. Runs in each thread."""
        while (request := self._queues.take()) is not None:
            begun_at, cpu_begun_at = monotonic(), thread_time()
            result = send(request, client=self._client, clock=self._clock)
            # Before the drain can read the result: it resumes the queue after writing it.
            if may_stop_webhook(result):
                self._queues.halt(request.webhook_id)
            # Before `done`: a request is counted in one of the two places at any time.
            self._result_queue.put(result)
            self._queues.done(request, monotonic() - begun_at, thread_time() - cpu_begun_at)
            # The drain grows the pool otherwise, but may be in the database for longer than receivers take.
            if self._queues.waits_for_receivers:
                self.grow()


class ResultQueue:
    """Results of many threads for one reader, the drain.

    To wake the reader for each of thousands of results a second would cost more than all its other work, because all
    threads compete for Python's lock. So a result wakes it only in `wait`, and only `wake` interrupts `pause`.
    """

    def __init__(self) -> None:
        self._results: deque[SendResult] = deque()
        # Released to wake the reader. Not a `SimpleQueue`: in Python 3.11 a signal at the wrong moment blocks it
        # forever.
        self._signal = threading.Lock()
        self._signal.acquire()
        self._is_waiting = False
        self._is_woken = False

    def __len__(self) -> int:
        return len(self._results)

    def put(self, result: SendResult) -> None:
        """Add a result."""
        self._results.append(result)
        if self._is_waiting:
            self._is_waiting = False
            self._release()

    def take(self, limit: int) -> list[SendResult]:
        """Return and remove up to ``limit`` results, oldest first."""
        return [self._results.popleft() for _ in range(min(limit, len(self._results)))]

    def wake(self) -> None:
        """Wake the reader, because there may be new events. Further calls have no effect until it has noticed."""
        if not self._is_woken:
            self._is_woken = True
            self._release()

    def was_woken(self) -> bool:
        """Return whether `wake` was called since the last call."""
        self._signal.acquire(
            blocking=False
        )  # First: a `wake` at this moment may wake once too often, but never in vain.
        is_woken, self._is_woken = self._is_woken, False
        return is_woken

    def wait(self, seconds: float) -> None:
        """Wait up to so many seconds for a result or a wake-up, unless one has come already."""
        self._is_waiting = True
        # After that: a result that comes now releases the lock.
        if not self._results:
            self.pause(seconds)
        self._is_waiting = False

    def pause(self, seconds: float) -> None:
        """Let so many seconds pass, unless a wake-up comes or has come."""
        if not self._is_woken and seconds > 0:
            self._signal.acquire(timeout=seconds)

    def _release(self) -> None:
        with contextlib.suppress(RuntimeError):  # It is released already.
            self._signal.release()


def cpu_seconds_wanted() -> float:
    """Return the CPU time that this process has used plus the time that its threads waited for a processor, in seconds.

    Where the system does not report the second, it is the first alone.
    """
    return process_time() + _cpu_seconds_waited()


def _cpu_seconds_waited() -> float:
    nanoseconds = 0
    for stats in SCHEDULER_STATS.glob("*/schedstat"):
        try:
            nanoseconds += int(stats.read_text().split()[1])
        except (OSError, IndexError, ValueError):
            continue  # The thread has just ended.
    return nanoseconds / 1e9
