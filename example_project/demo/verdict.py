"""Decide if the demo passed, and compute its figures."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from example_project.demo.ledger import Comparison, Endpoint, Key, Ledger, Pair
from example_project.demo.poller import Watch
from tms_webhooks import catalogue
from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.models import Delivery

IMPOSSIBLE = {f"organization.{verb}" for verb in ("removed", "added", "created")}
"""Types that the example cannot cause: an organization owns itself, so it can't move, and when it is created, it has no
webhook.
"""

LISTED = 8
"""Number of cases of one problem that are listed; the others are counted."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The numbers of a run. A delivery is one event for one webhook."""

    events: int
    """Distinct events that arrived."""
    event_types: int
    """Distinct types of these events."""
    catalogue: int
    """Types of the catalogue that the example can cause. Each of them must arrive."""
    expected: int
    """Deliveries that the changes must cause."""
    delivered: int
    """Expected deliveries that arrived, verified, and are in the log as delivered exactly once."""
    missing: int
    """Expected deliveries that did not."""
    unverified: int
    """Requests with a wrong signature."""
    unexpected: int
    """Deliveries of changes that did not happen or were rolled back."""
    repeated: int
    """Repeated requests that the receiver had accepted before: the guarantee is at least once."""
    latency_ms_p50: float | None
    latency_ms_p95: float | None
    timed: int
    """Number of deliveries in the latency."""
    watch: Watch | None
    """The comparison with a poller; None if the demo did not come so far."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The figures and the problems of a run."""

    figures: Figures
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """True without problems."""
        return not self.problems


def judge(ledger: Ledger, *, watch: Watch | None, seconds: float, problems: Iterable[str] = ()) -> Verdict:
    """Compare expected and received events, and the app's own log of deliveries."""
    comparison = ledger.compare()
    log = _log(ledger.endpoints)
    settled = [pair for pair in comparison.pairs if _is_delivered_once(pair, log)]
    latencies = comparison.latencies()
    events = {
        pair.arrival.event["id"]: pair.expected.key[1]
        for pair in comparison.pairs
        if pair.arrival and pair.arrival.event
    }
    types = [name for one in catalogue.all_types() if (name := one.name) not in IMPOSSIBLE]
    figures = Figures(
        events=len(events),
        event_types=len(set(events.values())),
        catalogue=len(types),
        expected=len(comparison.pairs),
        delivered=len(settled),
        missing=len(comparison.pairs) - len(settled),
        unverified=ledger.unverified,
        unexpected=len(comparison.surplus),
        repeated=len(comparison.repeats),
        latency_ms_p50=percentile(latencies, 50),
        latency_ms_p95=percentile(latencies, 95),
        timed=len(latencies),
        watch=watch,
        seconds=round(seconds, 1),
    )
    found = [*_missing(comparison, log), *_unexpected(ledger, comparison), *_doubled(log), *_open(ledger.endpoints)]
    if figures.unverified:
        found.append(f"{figures.unverified} requests have an invalid signature.")
    found += _listed(
        "never arrived, although it is in the catalogue", [name for name in types if name not in events.values()]
    )
    if watch is None or not watch.seen:
        found.append("The poller saw no change.")
    if not figures.expected:
        found.append("No deliveries were expected.")
    return Verdict(figures, (*found, *problems))


def percentile(values: Sequence[float], share: int) -> float | None:
    """Return the value that ``share`` percent of the sorted ``values`` don't exceed; None without values."""
    if not values:
        return None
    return round(values[max(math.ceil(len(values) * share / 100), 1) - 1], 1)


def _log(endpoints: Iterable[Endpoint]) -> Counter[tuple[str, int]]:
    """Count the deliveries in the log, by event and webhook."""
    rows = Delivery.objects.filter(
        webhook__in=[endpoint.webhook_id for endpoint in endpoints], status=DeliveryStatus.DELIVERED
    ).select_related("event")
    return Counter((row.event.public_id, row.webhook_id) for row in rows)


def _is_delivered_once(pair: Pair, log: Counter[tuple[str, int]]) -> bool:
    if pair.arrival is None or pair.arrival.event is None:
        return False
    return log[pair.arrival.event["id"], pair.endpoint.webhook_id] == 1


def _missing(comparison: Comparison, log: Counter[tuple[str, int]]) -> list[str]:
    never = [f"{pair.endpoint.name}: {_words(pair.expected.key)}" for pair in comparison.pairs if pair.arrival is None]
    unlogged = [
        f"{pair.endpoint.name}: {_words(pair.expected.key)}"
        for pair in comparison.pairs
        if pair.arrival is not None and not _is_delivered_once(pair, log)
    ]
    return [*_listed("never arrived", never), *_listed("arrived but is not in the log as delivered", unlogged)]


def _unexpected(ledger: Ledger, comparison: Comparison) -> list[str]:
    rolled_back = [arrival for arrival in comparison.surplus if arrival.key in ledger.forbidden]
    others = [arrival for arrival in comparison.surplus if arrival.key not in ledger.forbidden]
    return [
        *_listed("arrived although it was rolled back", [f"{one.path}: {_words(one.key)}" for one in rolled_back]),
        *_listed("arrived without such a change", [f"{one.path}: {_words(one.key)}" for one in others]),
    ]


def _doubled(log: Counter[tuple[str, int]]) -> list[str]:
    return _listed("is in the log as delivered more than once", [key[0] for key, count in log.items() if count > 1])


def _open(endpoints: Iterable[Endpoint]) -> list[str]:
    rows = Delivery.objects.filter(webhook__in=[endpoint.webhook_id for endpoint in endpoints])
    left = rows.exclude(status=DeliveryStatus.DELIVERED).select_related("event", "webhook")
    return _listed(
        "was not delivered", [f"{row.webhook}: {row.event.type} ({row.get_status_display().lower()})" for row in left]
    )


def _words(key: Key) -> str:
    _organization, event_type, subject = key
    return f"{event_type} of {subject}"


def _listed(problem: str, cases: Sequence[str]) -> list[str]:
    counted = Counter(cases)
    lines = [
        f"{case} {problem}." if times == 1 else f"{case} {problem}, {times} times." for case, times in counted.items()
    ]
    return lines if len(lines) <= LISTED else [*lines[:LISTED], f"... and {len(lines) - LISTED} others {problem}."]
