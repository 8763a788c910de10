"""What has to arrive, told by those who did it, and what did arrive, told by the receiver."""

from __future__ import annotations

import json
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

Key = tuple[int, str, str]
"""The organization, the event type and the subject."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One webhook, with the path at the receiver that is its alone."""

    webhook_id: int
    organization_id: int
    organization: str
    name: str
    path: str
    secret: str
    patterns: tuple[str, ...]

    def wants(self, key: Key) -> bool:
        """Return whether the webhook asked for such an event. Worked out here, not by the app that is on show."""
        organization_id, event_type, _subject = key
        names = {"*", event_type, event_type.split(".")[0] + ".*"}
        return organization_id == self.organization_id and not names.isdisjoint(self.patterns)


@dataclass(slots=True)
class Moment:
    """A transaction. Its time is that of the commit, in seconds since the epoch."""

    timed: bool = True
    """Whether what arrives of it counts for the latency."""
    committed_at: float | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """One event that somebody caused."""

    key: Key
    moment: Moment


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request that reached the receiver; ``event`` is None where the signature was wrong."""

    path: str
    at: float
    status: int
    attempt: int
    event: Mapping[str, Any] | None

    @property
    def accepted(self) -> bool:
        """Whether it was verified and answered with 2xx."""
        return self.event is not None and HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def key(self) -> Key:
        """What the event tells of; only for one that was verified."""
        event = self.event or {}
        return event["organization"]["id"], event["type"], _subject(event["data"])


@dataclass(frozen=True, slots=True)
class Pair:
    """One event for one webhook: what a delivery is."""

    endpoint: Endpoint
    expected: Expected
    arrival: Arrival | None

    @property
    def latency_ms(self) -> float | None:
        """Milliseconds from the commit to the receiver; None where it does not count or has not come."""
        moment = self.expected.moment
        if self.arrival is None or moment.committed_at is None or not moment.timed:
            return None
        return (self.arrival.at - moment.committed_at) * 1000


@dataclass(frozen=True, slots=True)
class Standing:
    """Both sides of the ledger, compared."""

    pairs: tuple[Pair, ...]
    surplus: tuple[Arrival, ...] = ()
    """What nobody expected, a change that was rolled back for one."""
    repeats: tuple[Arrival, ...] = ()
    """What came again after it had been accepted; a receiver knows it by its id."""

    @property
    def arrived(self) -> int:
        """How many of the pairs are complete."""
        return sum(pair.arrival is not None for pair in self.pairs)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing any more."""
        return self.arrived == len(self.pairs)

    def latencies(self) -> list[float]:
        """Return the latencies that count, in milliseconds, shortest first."""
        return sorted(latency for pair in self.pairs if (latency := pair.latency_ms) is not None)


@dataclass
class Ledger:
    """The two sides, kept by several threads."""

    endpoints: tuple[Endpoint, ...] = ()
    expected: list[Expected] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    forbidden: set[Key] = field(default_factory=set)
    """What was rolled back."""
    listener: Callable[[Arrival], None] | None = None
    """Is told of every request, by the thread that hears the receiver."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def expect(self, key: Key, moment: Moment) -> None:
        """Note that an event is about to be committed."""
        with self._lock:
            self.expected.append(Expected(key, moment))

    def forbid(self, key: Key) -> None:
        """Note that such an event was rolled back."""
        self.forbidden.add(key)

    def receive(self, line: str) -> Arrival:
        """Note what the receiver reports, and return it."""
        arrival = Arrival(**json.loads(line))
        with self._lock:
            self.arrivals.append(arrival)
        if self.listener is not None:
            self.listener(arrival)
        return arrival

    @property
    def unverified(self) -> int:
        """How many requests had a wrong signature, or none."""
        with self._lock:
            return sum(arrival.event is None for arrival in self.arrivals)

    def standing(self) -> Standing:
        """Compare the two sides: the events of one key in the order of their sequence with those expected of it."""
        with self._lock:
            expected, arrivals = list(self.expected), list(self.arrivals)
        came, repeats = _sorted_out(arrivals)
        pairs = []
        for endpoint in self.endpoints:
            for one in expected:
                if endpoint.wants(one.key):
                    waiting = came[endpoint.path, one.key]
                    pairs.append(Pair(endpoint, one, waiting.pop(0) if waiting else None))
        surplus = [arrival for rest in came.values() for arrival in rest]
        return Standing(tuple(pairs), tuple(surplus), tuple(repeats))


def _sorted_out(arrivals: Iterable[Arrival]) -> tuple[dict[tuple[str, Key], list[Arrival]], list[Arrival]]:
    """Return what was accepted by path and key, each event once, and what came again."""
    came: dict[tuple[str, Key], list[Arrival]] = defaultdict(list)
    repeats, seen = [], Counter[tuple[str, str]]()
    for arrival in arrivals:
        if arrival.event is None or not arrival.accepted:
            continue
        seen[arrival.path, arrival.event["id"]] += 1
        if seen[arrival.path, arrival.event["id"]] > 1:
            repeats.append(arrival)
        else:
            came[arrival.path, arrival.key].append(arrival)
    for group in came.values():
        group.sort(key=lambda arrival: arrival.event["sequence"] if arrival.event else 0)
    return came, repeats


def _subject(data: Mapping[str, Any]) -> str:
    if data.get("id") is None and "learning_path" in data:
        # A finished learning path is no row: it follows from the courses.
        return f"{data['learning_path']['id']}:{data['user']['id']}"
    return str(data.get("id"))
