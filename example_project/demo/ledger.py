"""Record the events that the changes must cause and the requests that the receiver got, and compare them."""

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
    """One webhook, with its own path at the receiver."""

    webhook_id: int
    webhook: str
    """The webhook's public id."""
    organization_id: int
    organization: str
    name: str
    path: str
    secret: str
    patterns: tuple[str, ...]

    def wants(self, key: Key) -> bool:
        """Return True if the webhook subscribes to such an event. Computed here, independently of the app."""
        organization_id, event_type, subject = key
        noun = event_type.split(".")[0]
        if noun == "webhook" and subject == self.webhook:
            return False  # Events about a webhook go to the others.
        names = {event_type, f"{noun}.*"} | ({"*"} if noun != "webhook" else set())
        return organization_id == self.organization_id and not names.isdisjoint(self.patterns)


@dataclass(slots=True)
class Moment:
    """The commit of a transaction, in seconds since the epoch."""

    timed: bool = True
    """True if its events count for the latency."""
    committed_at: float | None = None


@dataclass(frozen=True, slots=True)
class Expected:
    """One event that a change must cause."""

    key: Key
    moment: Moment
    only: Endpoint | None = None
    """The webhook that it is made for, such as a test; None for the webhooks that subscribe to it."""

    def is_for(self, endpoint: Endpoint) -> bool:
        """Return True if a webhook must get it."""
        return endpoint.wants(self.key) if self.only is None else endpoint == self.only


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request at the receiver; ``event`` is None if its signature is invalid."""

    path: str
    at: float
    status: int
    attempt: int
    event: Mapping[str, Any] | None
    headers: Mapping[str, str] = field(default_factory=dict)
    """The headers of the signature."""
    action: str = ""
    """What the receiver did with the event, such as "stored class 7"."""

    @property
    def accepted(self) -> bool:
        """True if it was verified and answered with 2xx."""
        return self.event is not None and HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def key(self) -> Key:
        """Organization, type and subject of the event; only for a verified request."""
        event = self.event or {}
        return event["organization"]["id"], event["type"], str(event["data"].get("id"))


@dataclass(frozen=True, slots=True)
class Pair:
    """One expected event for one webhook, with its request if that arrived."""

    endpoint: Endpoint
    expected: Expected
    arrival: Arrival | None

    @property
    def latency_ms(self) -> float | None:
        """Milliseconds from the commit to the receiver; None if it does not count or has not arrived."""
        moment = self.expected.moment
        if self.arrival is None or moment.committed_at is None or not moment.timed:
            return None
        return (self.arrival.at - moment.committed_at) * 1000


@dataclass(frozen=True, slots=True)
class Comparison:
    """The expected events compared with the received requests."""

    pairs: tuple[Pair, ...]
    surplus: tuple[Arrival, ...] = ()
    """Requests without an expected event, for example of a rolled-back change."""
    repeats: tuple[Arrival, ...] = ()
    """Repeated requests with the id of an accepted one."""

    @property
    def arrived(self) -> int:
        """The number of pairs with a request."""
        return sum(pair.arrival is not None for pair in self.pairs)

    @property
    def complete(self) -> bool:
        """True if every expected event arrived."""
        return self.arrived == len(self.pairs)

    def latencies(self) -> list[float]:
        """Return the latencies that count, in milliseconds, shortest first."""
        return sorted(latency for pair in self.pairs if (latency := pair.latency_ms) is not None)


@dataclass
class Ledger:
    """Expected events and received requests. Thread-safe."""

    endpoints: tuple[Endpoint, ...] = ()
    expected: list[Expected] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    forbidden: set[Key] = field(default_factory=set)
    """Events of rolled-back changes."""
    listener: Callable[[Arrival], None] | None = None
    """Called with each request, in the thread that reads the receiver's output."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def expect(self, key: Key, moment: Moment, *, only: Endpoint | None = None) -> None:
        """Record an event that is about to be committed; with ``only``, it is made for one webhook."""
        with self._lock:
            self.expected.append(Expected(key, moment, only))

    def forbid(self, key: Key) -> None:
        """Record an event that was rolled back."""
        self.forbidden.add(key)

    def receive(self, line: str) -> Arrival:
        """Record a request that the receiver reports, and return it."""
        arrival = Arrival(**json.loads(line))
        with self._lock:
            self.arrivals.append(arrival)
        if self.listener is not None:
            self.listener(arrival)
        return arrival

    @property
    def unverified(self) -> int:
        """The number of requests with an invalid signature, or none."""
        with self._lock:
            return sum(arrival.event is None for arrival in self.arrivals)

    def compare(self) -> Comparison:
        """Compare both sides. Events of one key are matched in the order of their sequence numbers."""
        with self._lock:
            expected, arrivals = list(self.expected), list(self.arrivals)
        came, repeats = _sorted_out(arrivals)
        pairs = []
        for endpoint in self.endpoints:
            for one in expected:
                if one.is_for(endpoint):
                    waiting = came[endpoint.path, one.key]
                    pairs.append(Pair(endpoint, one, waiting.pop(0) if waiting else None))
        surplus = [arrival for rest in came.values() for arrival in rest]
        return Comparison(tuple(pairs), tuple(surplus), tuple(repeats))


def _sorted_out(arrivals: Iterable[Arrival]) -> tuple[dict[tuple[str, Key], list[Arrival]], list[Arrival]]:
    """Return the accepted requests by path and key, one per event, and the repeated requests."""
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
