"""The threads that talk to receivers. They never touch the database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from time import monotonic, thread_time

from tms_webhooks.delivery.lanes import Lanes
from tms_webhooks.delivery.mailbox import Mailbox
from tms_webhooks.delivery.outgoing import needs_a_look
from tms_webhooks.delivery.processor import asked_for
from tms_webhooks.delivery.send import send
from tms_webhooks.net.client import Client

FIRST = 2
# The share of one processor that this process may ask for and still start threads: more where they mostly wait.
BUSY = 0.75
BUSY_WAITING = 0.97
MEASURED_OVER = 0.01
# To ask costs a little, for each thread: of many that were busy it is asked less often. Two that hang must not be all for long.
BUSY_PAUSE = 0.1
BUSY_PAUSE_EACH = 0.005


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
        mailbox: Mailbox,
        most: int,
    ) -> None:
        self._lanes = lanes
        self._client = client
        self._clock = clock
        self._mailbox = mailbox
        self._most = most
        self._threads: list[threading.Thread] = []
        self._growing = threading.Lock()
        self._measured_at, self._asked_for = monotonic(), asked_for()
        self._look_at = self._measured_at

    def grow(self) -> None:
        """Start threads if parcels are waiting for them: at most as many as there are. Cheap to call often."""
        few = len(self._threads) < FIRST
        if len(self._threads) >= self._most or (not few and monotonic() < self._look_at):
            return
        if self._growing.acquire(blocking=False):
            try:
                self._grow()
            finally:
                self._growing.release()

    def _grow(self) -> None:
        many, short = len(self._threads), self._lanes.short_of_hands
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
        if many < FIRST:
            return FIRST
        worth = int(BUSY_WAITING * self._lanes.threads_worth) if self._lanes.waits else 0
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
        before, self._asked_for = self._asked_for, asked_for()
        self._measured_at = monotonic()
        return self._asked_for - before > BUSY * elapsed

    def stop(self) -> None:
        """Let the threads end when they have sent what they are sending."""
        self._lanes.close()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (parcel := self._lanes.take()) is not None:
            begun_at, worked = monotonic(), thread_time()
            result = send(parcel, client=self._client, clock=self._clock)
            # Before the result can be read: the one who reads it lets the lane go on.
            if needs_a_look(result):
                self._lanes.halt(parcel.webhook_id)
            # And this before `done`: what is under way is never in neither place.
            self._mailbox.put(result)
            self._lanes.done(parcel, monotonic() - begun_at, thread_time() - worked)
            # The drain, which grows the pool otherwise, may be in the database for longer than receivers take.
            if self._lanes.waits:
                self.grow()
