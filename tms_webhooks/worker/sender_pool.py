"""How much processor this process asks for, which is more than it gets where others want it, too."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from time import monotonic, process_time, thread_time
from typing import TYPE_CHECKING

from tms_webhooks.delivery.outgoing import may_stop_webhook
from tms_webhooks.net.client import Client
from tms_webhooks.worker.endpoint_queues import EndpointQueues
from tms_webhooks.worker.send import send

if TYPE_CHECKING:
    from tms_webhooks.delivery.outgoing import SendResult

# Of each thread: nanoseconds that it ran, that it stood in line for a processor, and how often. Linux only.
TASKS = Path("/proc/self/task")


def cpu_seconds_wanted() -> float:
    """Return the seconds for which this process has run, and its threads have stood in line to run.

    Where the system does not tell who stands in line, it is the first alone.
    """
    return process_time() + _in_line()


def _in_line() -> float:
    nanoseconds = 0
    for task in TASKS.glob("*/schedstat"):
        try:
            nanoseconds += int(task.read_text().split()[1])
        except (OSError, IndexError, ValueError):
            continue  # It has just ended.
    return nanoseconds / 1e9


class ResultQueue:
    """Results of many threads for the one that reads them.

    To wake that one for each of thousands a second would cost more than all else that it does with them, since all of
    them want Python's lock: so a result wakes it only in `wait`, and in `rest` nothing but a ring does.
    """

    def __init__(self) -> None:
        self._results: deque[SendResult] = deque()
        # Free while it rings. Not a `SimpleQueue`: in Python 3.11 a signal at the wrong moment has it wait for ever.
        self._bell = threading.Lock()
        self._bell.acquire()
        self._waits = False
        self._rung = False

    def __len__(self) -> int:
        return len(self._results)

    def was_rung(self) -> bool:
        """Return whether somebody rang since this was asked last."""
        self._bell.acquire(blocking=False)  # First: who rings now may wake once too often, and never in vain.
        rung, self._rung = self._rung, False
        return rung

    def put(self, result: SendResult) -> None:
        """Leave a result."""
        self._results.append(result)
        if self._waits:
            self._waits = False
            self._wake()

    def ring(self) -> None:
        """Wake the reader. Once is enough until it has noticed."""
        if not self._rung:
            self._rung = True
            self._wake()

    def take(self, most: int) -> list[SendResult]:
        """Return up to ``most`` of the results that are there, oldest first."""
        return [self._results.popleft() for _ in range(min(most, len(self._results)))]

    def wait(self, seconds: float) -> None:
        """Wait for a result or a ring, if there is neither."""
        self._waits = True
        # After that: a result that comes now rings.
        if not self._results:
            self.rest(seconds)
        self._waits = False

    def rest(self, seconds: float) -> None:
        """Let so many seconds pass, unless somebody rings or has rung."""
        if not self._rung and seconds > 0:
            self._bell.acquire(timeout=seconds)

    def _wake(self) -> None:
        with contextlib.suppress(RuntimeError):  # It rings already.
            self._bell.release()


FIRST_THREADS = 2
# The share of one processor that this process may ask for and still start threads: more where they mostly wait.
BUSY = 0.75
BUSY_WAITING = 0.97
MEASURED_OVER = 0.01
# To ask costs a little, for each thread: of many that were busy it is asked less often. Two that hang must not be all for long.
BUSY_PAUSE = 0.1
BUSY_PAUSE_EACH = 0.005


class SenderPool:
    """A pool that begins small and grows while outgoing_requests find no thread and the processor has time to spare.

    Threads pay where receivers take their time. Where the processor is the limit, as with a receiver on the same
    network, each further one only makes all of them wait for Python's lock. Results are put into ``result_queue``, where the
    drain waits.
    """

    def __init__(
        self,
        *,
        queues: EndpointQueues,
        client: Client,
        clock: Callable[[], datetime],
        result_queue: ResultQueue,
        most: int,
    ) -> None:
        self._queues = queues
        self._client = client
        self._clock = clock
        self._mailbox = result_queue
        self._most = most
        self._threads: list[threading.Thread] = []
        self._growing = threading.Lock()
        self._measured_at, self._asked_for = monotonic(), cpu_seconds_wanted()
        self._look_at = self._measured_at

    def grow(self) -> None:
        """Start threads if outgoing_requests are waiting for them: at most as many as there are. Cheap to call often."""
        few = len(self._threads) < FIRST_THREADS
        if len(self._threads) >= self._most or (not few and monotonic() < self._look_at):
            return
        if self._growing.acquire(blocking=False):
            try:
                self._grow()
            finally:
                self._growing.release()

    def _grow(self) -> None:
        many, short = len(self._threads), self._queues.short_of_hands
        if not short:
            return
        wanted = min(short, self._worth() - many, self._most - many)
        self._look_at = monotonic() + (MEASURED_OVER if wanted > 0 else min(BUSY_PAUSE, BUSY_PAUSE_EACH * many))
        for number in range(many, many + wanted):
            thread = threading.Thread(target=self._work, name=f"webhook-sender-{number}", daemon=True)
            # Only a thread that could be started can be waited for.
            thread.start()
            self._threads.append(thread)

    def _worth(self) -> int:
        """Return how many threads there may be: as many as the processor serves, as far as that is known."""
        many = len(self._threads)
        if many < FIRST_THREADS:
            return FIRST_THREADS
        worth = int(BUSY_WAITING * self._queues.threads_worth) if self._queues.waits else 0
        if worth > many:
            return worth
        # Of those that hang nothing is known yet: they hold threads, and no processor.
        return many if self._is_processor_busy() else 2 * many

    def _is_processor_busy(self) -> bool:
        """Return whether this process has asked for most of one processor since the last time it was looked at.

        What it stood in line for counts, too: a busy neighbor leaves no spare time.
        """
        elapsed = monotonic() - self._measured_at
        if elapsed < MEASURED_OVER:
            return True
        before, self._asked_for = self._asked_for, cpu_seconds_wanted()
        self._measured_at = monotonic()
        return self._asked_for - before > BUSY * elapsed

    def stop(self) -> None:
        """Let the threads end when they have sent what they are sending."""
        self._queues.close()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (outgoing := self._queues.take()) is not None:
            begun_at, worked = monotonic(), thread_time()
            result = send(outgoing, client=self._client, clock=self._clock)
            # Before the result can be read: the one who reads it lets the queue go on.
            if may_stop_webhook(result):
                self._queues.halt(outgoing.webhook_id)
            # And this before `done`: what is under way is never in neither place.
            self._mailbox.put(result)
            self._queues.done(outgoing, monotonic() - begun_at, thread_time() - worked)
            # The drain, which grows the pool otherwise, may be in the database for longer than receivers take.
            if self._queues.waits:
                self.grow()
