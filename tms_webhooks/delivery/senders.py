"""The threads that talk to receivers. They never touch the database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from queue import SimpleQueue
from time import monotonic, process_time

from tms_webhooks.delivery.lanes import Lanes
from tms_webhooks.delivery.processor import asked_for
from tms_webhooks.delivery.send import Result, needs_a_look, send
from tms_webhooks.net.client import Client

FIRST = 2
# The share of one processor that this process may ask for and still start threads: more where they mostly wait.
BUSY = 0.75
BUSY_WAITING = 0.97
WAITING = 0.005
MEASURED_OVER = 0.01
# To ask costs a little, for each thread: one that was busy is asked less often.
BUSY_PAUSE = 0.1


class Senders:
    """A pool that begins small and grows while parcels find no thread and the processor has time to spare.

    Threads pay where receivers take their time. Where the processor is the limit, as with a receiver on the same
    network, each further one only makes all of them wait for Python's lock. Results are put into ``mailbox``, where the
    drain waits.
    """

    def __init__(
        self,
        *,
        lanes: Lanes,
        client: Client,
        clock: Callable[[], datetime],
        mailbox: SimpleQueue[Result | None],
        most: int,
    ) -> None:
        self._lanes = lanes
        self._client = client
        self._clock = clock
        self._mailbox = mailbox
        self._most = most
        self._threads: list[threading.Thread] = []
        self._measured_at, self._asked_for, self._used = monotonic(), asked_for(), process_time()
        self._look_at = self._measured_at

    def grow(self) -> None:
        """Start threads if parcels are waiting for them: at most as many as there are. Cheap to call often."""
        few = len(self._threads) < FIRST
        if len(self._threads) >= self._most or (not few and monotonic() < self._look_at):
            return
        short = self._lanes.short_of_hands
        if not short:
            return
        if not few and self._is_processor_busy():
            self._look_at = monotonic() + (MEASURED_OVER if self._waits else BUSY_PAUSE)
            return
        self._look_at = monotonic() + MEASURED_OVER
        wanted = min(short, max(FIRST, len(self._threads)), self._most - len(self._threads))
        for _ in range(wanted):
            name = f"webhook-sender-{len(self._threads)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            # Only a thread that could be started can be waited for.
            thread.start()
            self._threads.append(thread)

    @property
    def _waits(self) -> bool:
        """Whether receivers take so long that threads mostly wait for them."""
        return self._lanes.pace >= WAITING

    def _is_processor_busy(self) -> bool:
        """Return whether this process has had most of one processor since the last time it was looked at.

        With receivers that answer at once what it stood in line for counts, too: a busy neighbor leaves no spare time.
        """
        elapsed = monotonic() - self._measured_at
        if elapsed < MEASURED_OVER:
            return True
        asked_before, self._asked_for = self._asked_for, asked_for()
        used_before, self._used = self._used, process_time()
        self._measured_at = monotonic()
        if self._waits:
            return self._used - used_before > BUSY_WAITING * elapsed
        return self._asked_for - asked_before > BUSY * elapsed

    def stop(self) -> None:
        """Let the threads end when they have sent what they are sending."""
        self._lanes.close()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (parcel := self._lanes.take()) is not None:
            begun_at = monotonic()
            result = send(parcel, client=self._client, clock=self._clock)
            # Before the result can be read: the one who reads it lets the lane go on.
            if needs_a_look(result):
                self._lanes.halt(parcel.webhook_id)
            # And this before `done`: what is under way is never in neither place.
            self._mailbox.put(result)
            self._lanes.done(parcel, monotonic() - begun_at)
