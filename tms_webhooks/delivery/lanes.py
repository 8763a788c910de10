"""What a worker has claimed and not sent yet, in one lane for each webhook, each with a limit of its own."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tms_webhooks.delivery.outgoing import Parcel

LOOK_AHEAD = 0.1
MOST_ROUNDS = 64
WAITING = 0.005
"""A request that takes so many seconds mostly waits for its receiver."""
SLOW = 0.015
"""One that takes so many does so also where it stands in line for the processor."""


class Lane:
    """One webhook's parcels: those that wait, and how many are under way."""

    __slots__ = ("cap", "flying", "halts", "listed", "moved_at", "pace", "parcels")

    def __init__(self) -> None:
        self.parcels: deque[Parcel] = deque()
        self.cap = 1
        self.flying = 0
        self.listed = False
        self.halts = 0
        self.pace: float | None = None
        self.moved_at = monotonic()


class Lanes:
    """Hands parcels to sender threads, never more of a webhook at once than it takes. Thread-safe."""

    def __init__(self) -> None:
        self._lanes: dict[int, Lane] = {}
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
        """How many parcels wait or are under way."""
        return self._held

    @property
    def short_of_hands(self) -> int:
        """How many parcels could go out now if there were threads to take them."""
        with self._changed:
            lanes = [self._lanes[key] for key in self._ready]
            return max(0, sum(min(len(lane.parcels), lane.cap - lane.flying) for lane in lanes) - self._idle)

    @property
    def waits(self) -> bool:
        """Whether requests have taken so long of late that threads mostly wait for receivers."""
        return self._pace is not None and self._pace >= WAITING

    @property
    def threads_worth(self) -> int:
        """How many threads one processor serves, by how long a request takes and how much of that it is at work."""
        return int((self._pace or 0.0) / max(self._work, 1e-6))

    def appetite(self, webhook_id: int, cap: int) -> int:
        """Return how many deliveries of a webhook are worth holding: what it takes in the next moment at its pace.

        A receiver that is slow, new or stuck gets no more than it can be sent at once.
        """
        lane = self._lanes.get(webhook_id)
        if lane is None or lane.pace is None:
            return cap
        if lane.flying and monotonic() - lane.moved_at > LOOK_AHEAD:
            return cap
        return cap * max(1, min(MOST_ROUNDS, int(LOOK_AHEAD / max(lane.pace, 1e-6))))

    def offer(self, parcels: Iterable[Parcel]) -> None:
        """Add claimed parcels."""
        with self._changed:
            for parcel in parcels:
                lane = self._lanes.setdefault(parcel.webhook_id, Lane())
                lane.cap = parcel.route.cap
                lane.parcels.append(parcel)
                self._held += 1
                self._list(parcel.webhook_id, lane)

    def take(self) -> Parcel | None:
        """Return the next parcel, waiting for one; None once the lanes are closed."""
        with self._changed:
            while self._quiet or not self._ready:
                if self._closed:
                    return None
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
            webhook_id = self._ready.popleft()
            lane = self._lanes[webhook_id]
            lane.listed = False
            parcel = lane.parcels.popleft()
            if not lane.flying:
                lane.moved_at = monotonic()
            lane.flying += 1
            self._list(webhook_id, lane)
            return parcel

    def done(self, parcel: Parcel, seconds: float, work: float = 0.0) -> None:
        """Note that a parcel came back after so many seconds, ``work`` of them of the processor's time."""
        with self._changed:
            lane = self._lanes[parcel.webhook_id]
            lane.flying -= 1
            lane.moved_at = monotonic()
            lane.pace = seconds if lane.pace is None else 0.7 * lane.pace + 0.3 * seconds
            if self._pace is None:
                self._pace, self._work = seconds, work
            self._pace = 0.9 * self._pace + 0.1 * seconds
            self._work = 0.9 * self._work + 0.1 * work
            self._held -= 1
            self._list(parcel.webhook_id, lane)

    def halt(self, webhook_id: int) -> None:
        """Keep the rest of a lane from going out until `resume`.

        After a failure the webhook may be paused or disabled, and that is only known when the result is written down.
        """
        with self._changed:
            lane = self._lanes[webhook_id]
            lane.halts += 1
            if lane.listed:
                lane.listed = False
                self._ready.remove(webhook_id)

    def resume(self, webhook_ids: Iterable[int]) -> None:
        """Let lanes go on that were halted: once for each time that they were."""
        with self._changed:
            for webhook_id in webhook_ids:
                lane = self._lanes[webhook_id]
                lane.halts -= 1
                self._list(webhook_id, lane)

    def withdraw(self, webhook_id: int | None = None) -> list[int]:
        """Take back what waits, of one webhook or of all, and return the ids of those deliveries."""
        with self._changed:
            chosen = self._lanes if webhook_id is None else {webhook_id}
            lanes = [self._lanes[key] for key in chosen if key in self._lanes]
            ids = [parcel.delivery_id for lane in lanes for parcel in lane.parcels]
            for lane in lanes:
                lane.parcels.clear()
                lane.listed = False
            self._ready = deque(key for key in self._ready if self._lanes[key].listed)
            self._held -= len(ids)
            return ids

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Hand out nothing inside the block: whoever asks waits, and what is under way goes on.

        Where all receivers take their time, threads mostly wait for them and are quiet as it is.
        """
        with self._changed:
            at_work = [lane.pace for lane in self._lanes.values() if lane.parcels or lane.flying]
            self._quiet = any(pace is None or pace < SLOW for pace in at_work)
        try:
            yield
        finally:
            with self._changed:
                self._quiet = False
                self._changed.notify(len(self._ready))

    def close(self) -> None:
        """Let every thread that waits for a parcel go."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _list(self, webhook_id: int, lane: Lane) -> None:
        if lane.parcels and not lane.listed and not lane.halts and lane.flying < lane.cap:
            lane.listed = True
            self._ready.append(webhook_id)
            if not self._quiet:
                self._changed.notify()
