"""The threads that talk to receivers. They never touch the database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from queue import SimpleQueue

from tms_webhooks.delivery.lanes import Lanes
from tms_webhooks.delivery.send import Result, send
from tms_webhooks.net.client import Client

FIRST = 2


class Senders:
    """A pool that begins small and grows while parcels find no thread: more threads than needed only cost.

    Results are put into ``mailbox``, where the drain waits.
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

    def grow(self) -> None:
        """Start threads if parcels are waiting for them: a few at a time, so that a quick receiver needs no more."""
        wanted = min(self._lanes.short_of_hands, max(FIRST, len(self._threads) // 2), self._most - len(self._threads))
        for _ in range(wanted):
            name = f"webhook-sender-{len(self._threads)}"
            thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._threads.append(thread)
            thread.start()

    def stop(self) -> None:
        """Let the threads end when they have sent what they are sending."""
        self._lanes.close()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while (parcel := self._lanes.take()) is not None:
            result = send(parcel, client=self._client, clock=self._clock)
            # In this order, so that what is under way is never in neither place.
            self._mailbox.put(result)
            self._lanes.done(parcel, result.seconds)
