"""What a worker has claimed and not sent yet, in one queue for each webhook, each with a limit of its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tms_webhooks.delivery.outgoing import OutgoingRequest

LOOK_AHEAD = 0.1
MOST_ROUNDS = 64
WAITING = 0.005
"""A request that takes so many seconds mostly waits for its receiver."""
SLOW = 0.015
"""One that takes so many does so also where it stands in line for the processor."""


class EndpointQueue:
    """One webhook's outgoing_requests: those that wait, and how many are under way."""

    __slots__ = ("cap", "in_flight", "halts", "listed", "moved_at", "pace", "outgoing_requests")

    def __init__(self) -> None:
        self.outgoing_requests: deque[OutgoingRequest] = deque()
        self.cap = 1
        self.in_flight = 0
        self.listed = False
        self.halts = 0
        self.pace: float | None = None
        self.moved_at = monotonic()


class EndpointQueues:
    """Hands outgoing_requests to sender threads, never more of a webhook at once than it takes. Thread-safe."""

    def __init__(self) -> None:
        self._queues: dict[int, EndpointQueue] = {}
        self._ready: deque[int] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._idle = 0
        self._held = 0
        self._pace: float | None = None
        self._work = 0.0
        self._closed = False
        self._quiet = False

    @property
    def held(self) -> int:
        """How many outgoing_requests wait or are under way."""
        return self._held

    @property
    def short_of_hands(self) -> int:
        """How many outgoing_requests could go out now if there were threads to take them."""
        with self._changed:
            queues = [self._queues[key] for key in self._ready]
            return max(
                0, sum(min(len(queue.outgoing_requests), queue.cap - queue.in_flight) for queue in queues) - self._idle
            )

    @property
    def waits(self) -> bool:
        """Whether requests have taken so long of late that threads mostly wait for receivers."""
        return self._pace is not None and self._pace >= WAITING

    @property
    def threads_worth(self) -> int:
        """How many threads one processor serves, by how long a request takes and how much of that it is at work."""
        return int((self._pace or 0.0) / max(self._work, 1e-6))

    def prefetch(self, webhook_id: int, cap: int) -> int:
        """Return how many deliveries of a webhook are worth holding: what it takes in the next moment at its pace.

        A receiver that is slow, new or stuck gets no more than it can be sent at once.
        """
        queue = self._queues.get(webhook_id)
        if queue is None or queue.pace is None:
            return cap
        if queue.in_flight and monotonic() - queue.moved_at > LOOK_AHEAD:
            return cap
        return cap * max(1, min(MOST_ROUNDS, int(LOOK_AHEAD / max(queue.pace, 1e-6))))

    def offer(self, outgoing_requests: Iterable[OutgoingRequest]) -> None:
        """Add claimed outgoing_requests."""
        with self._changed:
            for outgoing in outgoing_requests:
                queue = self._queues.setdefault(outgoing.webhook_id, EndpointQueue())
                queue.cap = outgoing.route.cap
                queue.outgoing_requests.append(outgoing)
                self._held += 1
                self._list(outgoing.webhook_id, queue)

    def take(self) -> OutgoingRequest | None:
        """Return the next outgoing, waiting for one; None once the queues are closed."""
        with self._changed:
            while self._quiet or not self._ready:
                if self._closed:
                    return None
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
            webhook_id = self._ready.popleft()
            queue = self._queues[webhook_id]
            queue.listed = False
            outgoing = queue.outgoing_requests.popleft()
            if not queue.in_flight:
                queue.moved_at = monotonic()
            queue.in_flight += 1
            self._list(webhook_id, queue)
            return outgoing

    def done(self, outgoing: OutgoingRequest, seconds: float, work: float = 0.0) -> None:
        """Note that a outgoing came back after so many seconds, ``work`` of them of the processor's time."""
        with self._changed:
            queue = self._queues[outgoing.webhook_id]
            queue.in_flight -= 1
            queue.moved_at = monotonic()
            queue.pace = seconds if queue.pace is None else 0.7 * queue.pace + 0.3 * seconds
            if self._pace is None:
                self._pace, self._work = seconds, work
            self._pace = 0.9 * self._pace + 0.1 * seconds
            self._work = 0.9 * self._work + 0.1 * work
            self._held -= 1
            self._list(outgoing.webhook_id, queue)

    def halt(self, webhook_id: int) -> None:
        """Keep the rest of a queue from going out until `resume`.

        After a failure the webhook may be paused or disabled, and that is only known when the result is written down.
        """
        with self._changed:
            queue = self._queues[webhook_id]
            queue.halts += 1
            if queue.listed:
                queue.listed = False
                self._ready.remove(webhook_id)

    def resume(self, webhook_ids: Iterable[int]) -> None:
        """Let queues go on that were halted: once for each time that they were."""
        with self._changed:
            for webhook_id in webhook_ids:
                queue = self._queues[webhook_id]
                queue.halts -= 1
                self._list(webhook_id, queue)

    def withdraw(self, webhook_id: int | None = None) -> list[int]:
        """Take back what waits, of one webhook or of all, and return the ids of those deliveries."""
        with self._changed:
            chosen = self._queues if webhook_id is None else {webhook_id}
            queues = [self._queues[key] for key in chosen if key in self._queues]
            ids = [outgoing.delivery_id for queue in queues for outgoing in queue.outgoing_requests]
            for queue in queues:
                queue.outgoing_requests.clear()
                queue.listed = False
            self._ready = deque(key for key in self._ready if self._queues[key].listed)
            self._held -= len(ids)
            return ids

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Hand out nothing inside the block: whoever asks waits, and what is under way goes on.

        Where all receivers take their time, threads mostly wait for them and are quiet as it is.
        """
        with self._changed:
            at_work = [queue.pace for queue in self._queues.values() if queue.outgoing_requests or queue.in_flight]
            self._quiet = any(pace is None or pace < SLOW for pace in at_work)
        try:
            yield
        finally:
            with self._changed:
                self._quiet = False
                self._changed.notify(len(self._ready))

    def close(self) -> None:
        """Let every thread that waits for a outgoing go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _list(self, webhook_id: int, queue: EndpointQueue) -> None:
        if queue.outgoing_requests and not queue.listed and not queue.halts and queue.in_flight < queue.cap:
            queue.listed = True
            self._ready.append(webhook_id)
            if not self._quiet:
                self._changed.notify()
