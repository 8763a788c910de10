"""The claimed requests that are not sent yet: a queue for each webhook, each with its own concurrency."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tms_webhooks.delivery.outgoing import OutgoingRequest

# A worker prefetches what a receiver takes in so many seconds, and at most so many times its concurrency.
PREFETCH_SECONDS = 0.1
MAX_PREFETCH = 64
# A request that takes so many seconds mostly waits for its receiver.
WAITING_SECONDS = 0.005
# So does a request that takes so many seconds, even where its thread also waits for the processor.
SLOW_SECONDS = 0.015


class EndpointQueue:
    """The waiting requests of one webhook, and how many are in flight."""

    __slots__ = ("concurrency", "halts", "in_flight", "is_ready", "moved_at", "requests", "seconds_each")

    def __init__(self) -> None:
        self.requests: deque[OutgoingRequest] = deque()
        self.concurrency = 1
        self.in_flight = 0
        self.is_ready = False
        # How many results, not written yet, keep the rest from going out.
        self.halts = 0
        # How long a request takes: a moving average; None before the first.
        self.seconds_each: float | None = None
        # When a request came back last, or the first went out.
        self.moved_at = monotonic()


class EndpointQueues:
    """Hands requests to sender threads, rotating over the webhooks, within each one's concurrency. Thread-safe."""

    def __init__(self) -> None:
        self._queues: dict[int, EndpointQueue] = {}
        self._ready: deque[int] = deque()
        self._changed = threading.Condition(threading.Lock())
        self._idle_threads = 0
        self._held = 0
        # Moving averages over all webhooks: seconds that a request takes, and of these, processor time.
        self._seconds_each: float | None = None
        self._cpu_seconds_each = 0.0
        self._closed = False
        self._quiet = False

    @property
    def held(self) -> int:
        """How many requests wait or are in flight."""
        return self._held

    @property
    def missing_threads(self) -> int:
        """How many more requests could be sent now with more threads."""
        with self._changed:
            queues = [self._queues[key] for key in self._ready]
            sendable = sum(min(len(queue.requests), queue.concurrency - queue.in_flight) for queue in queues)
            return max(0, sendable - self._idle_threads)

    @property
    def waits_for_receivers(self) -> bool:
        """Whether recent requests took so long that threads mostly wait for receivers."""
        return self._seconds_each is not None and self._seconds_each >= WAITING_SECONDS

    @property
    def threads_per_processor(self) -> int:
        """How many threads one processor serves: the time of a request divided by its processor time."""
        return int((self._seconds_each or 0.0) / max(self._cpu_seconds_each, 1e-6))

    def prefetch(self, webhook_id: int, concurrency: int) -> int:
        """Return how many deliveries of a webhook are worth holding: as many as its receiver takes in the next moment.

        For a slow, new or stuck receiver that is its concurrency.
        """
        queue = self._queues.get(webhook_id)
        if queue is None or queue.seconds_each is None:
            return concurrency
        if queue.in_flight and monotonic() - queue.moved_at > PREFETCH_SECONDS:
            return concurrency
        return concurrency * max(1, min(MAX_PREFETCH, int(PREFETCH_SECONDS / max(queue.seconds_each, 1e-6))))

    def add(self, requests: Iterable[OutgoingRequest]) -> None:
        """Add claimed requests to the queues of their webhooks."""
        with self._changed:
            for request in requests:
                queue = self._queues.setdefault(request.webhook_id, EndpointQueue())
                queue.concurrency = request.endpoint.concurrency
                queue.requests.append(request)
                self._held += 1
                self._update_ready(request.webhook_id, queue)

    def take(self) -> OutgoingRequest | None:
        """Return the next request, waiting for one; None once the queues are closed."""
        with self._changed:
            while self._quiet or not self._ready:
                if self._closed:
                    return None
                self._idle_threads += 1
                self._changed.wait()
                self._idle_threads -= 1
            webhook_id = self._ready.popleft()
            queue = self._queues[webhook_id]
            queue.is_ready = False
            request = queue.requests.popleft()
            if not queue.in_flight:
                queue.moved_at = monotonic()
            queue.in_flight += 1
            self._update_ready(webhook_id, queue)
            return request

    def done(self, request: OutgoingRequest, seconds: float, cpu_seconds: float = 0.0) -> None:
        """Note that a request came back after so many seconds, ``cpu_seconds`` of them processor time."""
        with self._changed:
            queue = self._queues[request.webhook_id]
            queue.in_flight -= 1
            queue.moved_at = monotonic()
            queue.seconds_each = seconds if queue.seconds_each is None else 0.7 * queue.seconds_each + 0.3 * seconds
            if self._seconds_each is None:
                self._seconds_each, self._cpu_seconds_each = seconds, cpu_seconds
            self._seconds_each = 0.9 * self._seconds_each + 0.1 * seconds
            self._cpu_seconds_each = 0.9 * self._cpu_seconds_each + 0.1 * cpu_seconds
            self._held -= 1
            self._update_ready(request.webhook_id, queue)

    def halt(self, webhook_id: int) -> None:
        """Keep the waiting requests of a webhook from going out until `resume`.

        After a failure the webhook may be paused or disabled, which is only known once the result is written.
        """
        with self._changed:
            queue = self._queues[webhook_id]
            queue.halts += 1
            if queue.is_ready:
                queue.is_ready = False
                self._ready.remove(webhook_id)

    def resume(self, webhook_ids: Iterable[int]) -> None:
        """Undo one `halt` of each webhook, as often as it is named."""
        with self._changed:
            for webhook_id in webhook_ids:
                queue = self._queues[webhook_id]
                queue.halts -= 1
                self._update_ready(webhook_id, queue)

    def withdraw(self, webhook_id: int | None = None) -> list[int]:
        """Remove the waiting requests of one webhook, or of all, and return the ids of their deliveries."""
        with self._changed:
            keys = self._queues if webhook_id is None else {webhook_id}
            queues = [self._queues[key] for key in keys if key in self._queues]
            ids = [request.delivery_id for queue in queues for request in queue.requests]
            for queue in queues:
                queue.requests.clear()
                queue.is_ready = False
            self._ready = deque(key for key in self._ready if self._queues[key].is_ready)
            self._held -= len(ids)
            return ids

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Hand out no request inside the block: threads that ask for one wait, and requests in flight go on.

        Has no effect where all receivers are slow: threads that mostly wait for them leave the processor free.
        """
        with self._changed:
            seconds = [queue.seconds_each for queue in self._queues.values() if queue.requests or queue.in_flight]
            self._quiet = any(each is None or each < SLOW_SECONDS for each in seconds)
        try:
            yield
        finally:
            with self._changed:
                self._quiet = False
                self._changed.notify(len(self._ready))

    def close(self) -> None:
        """Have `take` return None to every thread, once nothing waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _update_ready(self, webhook_id: int, queue: EndpointQueue) -> None:
        """Let a thread take from this queue, if a request of it may go out now."""
        if queue.requests and not queue.is_ready and not queue.halts and queue.in_flight < queue.concurrency:
            queue.is_ready = True
            self._ready.append(webhook_id)
            if not self._quiet:
                self._changed.notify()
