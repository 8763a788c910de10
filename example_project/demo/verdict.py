"""Whether the demo may say that all went well, and the figures that it says it with."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from example_project.demo.ledger import Endpoint, Key, Ledger, Pair, Standing
from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.models import Delivery

LISTED = 8
"""How many cases of one problem are listed before the rest is only counted."""


@dataclass(frozen=True, slots=True)
class Figures:
    """The numbers of a run. A delivery is one event for one webhook."""

    events: int
    """Different events that arrived."""
    event_types: int
    """Of how many types they were."""
    expected: int
    """Deliveries that had to be made, by what was done."""
    delivered: int
    """Those of them that arrived, verified, and stand in the log as delivered, once."""
    missing: int
    """Those that did not."""
    unverified: int
    """Requests with a wrong signature."""
    unexpected: int
    """Deliveries of something that did not happen, or was rolled back."""
    repeated: int
    """Requests that came again although the receiver had accepted them: at least once means now and then twice."""
    latency_ms_p50: float | None
    latency_ms_p95: float | None
    timed: int
    """How many deliveries the latency is taken from."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The figures, and everything that is not as it should be."""

    figures: Figures
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether everything is as it should be."""
        return not self.problems


def judge(ledger: Ledger, *, seconds: float, troubles: Iterable[str] = ()) -> Verdict:
    """Compare what had to arrive with what did, and with the app's own log of deliveries."""
    standing = ledger.standing()
    log = _log(ledger.endpoints)
    settled = [pair for pair in standing.pairs if _is_delivered_once(pair, log)]
    latencies = standing.latencies()
    events = {
        pair.arrival.event["id"]: pair.expected.key[1] for pair in standing.pairs if pair.arrival and pair.arrival.event
    }
    figures = Figures(
        events=len(events),
        event_types=len(set(events.values())),
        expected=len(standing.pairs),
        delivered=len(settled),
        missing=len(standing.pairs) - len(settled),
        unverified=ledger.unverified,
        unexpected=len(standing.surplus),
        repeated=len(standing.repeats),
        latency_ms_p50=percentile(latencies, 50),
        latency_ms_p95=percentile(latencies, 95),
        timed=len(latencies),
        seconds=round(seconds, 1),
    )
    problems = [*_missing(standing, log), *_unexpected(ledger, standing), *_doubled(log), *_open(ledger.endpoints)]
    if figures.unverified:
        problems.append(f"{figures.unverified} requests did not verify.")
    if not figures.expected:
        problems.append("Nothing was expected, so nothing was shown.")
    return Verdict(figures, (*problems, *troubles))


def percentile(values: Sequence[float], share: int) -> float | None:
    """Return the value that ``share`` percent of the sorted ``values`` don't exceed; None of none."""
    if not values:
        return None
    return round(values[max(math.ceil(len(values) * share / 100), 1) - 1], 1)


def _log(endpoints: Iterable[Endpoint]) -> Counter[tuple[str, int]]:
    """Return how often each event stands in the log as delivered to each webhook."""
    rows = Delivery.objects.filter(
        webhook__in=[endpoint.webhook_id for endpoint in endpoints], status=DeliveryStatus.DELIVERED
    ).select_related("event")
    return Counter((row.event.public_id, row.webhook_id) for row in rows)


def _is_delivered_once(pair: Pair, log: Counter[tuple[str, int]]) -> bool:
    if pair.arrival is None or pair.arrival.event is None:
        return False
    return log[pair.arrival.event["id"], pair.endpoint.webhook_id] == 1


def _missing(standing: Standing, log: Counter[tuple[str, int]]) -> list[str]:
    never = [f"{pair.endpoint.name}: {_words(pair.expected.key)}" for pair in standing.pairs if pair.arrival is None]
    unlogged = [
        f"{pair.endpoint.name}: {_words(pair.expected.key)}"
        for pair in standing.pairs
        if pair.arrival is not None and not _is_delivered_once(pair, log)
    ]
    return [*_listed("never arrived", never), *_listed("arrived but does not stand in the log as delivered", unlogged)]


def _unexpected(ledger: Ledger, standing: Standing) -> list[str]:
    rolled_back = [arrival for arrival in standing.surplus if arrival.key in ledger.forbidden]
    others = [arrival for arrival in standing.surplus if arrival.key not in ledger.forbidden]
    return [
        *_listed("arrived although it was rolled back", [f"{one.path}: {_words(one.key)}" for one in rolled_back]),
        *_listed("arrived although nothing like it happened", [f"{one.path}: {_words(one.key)}" for one in others]),
    ]


def _doubled(log: Counter[tuple[str, int]]) -> list[str]:
    return _listed("stands in the log as delivered more than once", [key[0] for key, count in log.items() if count > 1])


def _open(endpoints: Iterable[Endpoint]) -> list[str]:
    rows = Delivery.objects.filter(webhook__in=[endpoint.webhook_id for endpoint in endpoints])
    left = rows.exclude(status=DeliveryStatus.DELIVERED).select_related("event", "webhook")
    return _listed(
        "was left behind", [f"{row.webhook}: {row.event.type} ({row.get_status_display().lower()})" for row in left]
    )


def _words(key: Key) -> str:
    _organization, event_type, subject = key
    return f"{event_type} of {subject}"


def _listed(what: str, cases: Sequence[str]) -> list[str]:
    counted = Counter(cases)
    lines = [f"{case} {what}." if times == 1 else f"{case} {what}, {times} times." for case, times in counted.items()]
    return lines if len(lines) <= LISTED else [*lines[:LISTED], f"... and {len(lines) - LISTED} others {what}."]
