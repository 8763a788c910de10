"""Read the totals of attempts: results and durations by hour and by day, for one webhook or for several.

A total is written in the transaction that records its attempts, so these figures are complete and never late. The cost of
reading them depends on the number of webhooks and not on the number of attempts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Sum

from tms_webhooks.choices import TotalSpan
from tms_webhooks.models import DeliveryTotal, Webhook
from tms_webhooks.models.total import COUNTS, DURATION_LIMITS_MS, DURATIONS, start_of

HOURS = 24
DAYS = 30
MAX_DURATION_MS = 30_000
"""The longest timeout of a webhook, and the upper limit of the last bucket of durations."""


@dataclass(frozen=True, slots=True)
class AttemptStats:
    """The attempts of one webhook that began in a period of whole hours or days (UTC).

    Tests are left out, and failures of the egress proxy or for missing keys that are tried again.

    Attributes:
        starts_at: Start of the period.
        attempts: Number of attempts.
        delivered: Attempts that the receiver accepted.
        retried: Failed attempts that another attempt follows.
        given_up: Failed attempts that were the last ones of their deliveries.
        success_rate: ``delivered`` divided by ``attempts``, 0 to 1; None without attempts.
        p50_ms, p95_ms: Milliseconds that 50 and 95 percent of the answers did not exceed, estimated by `percentile`; None
            without answers.
    """

    starts_at: datetime
    attempts: int
    delivered: int
    retried: int
    given_up: int
    success_rate: float | None
    p50_ms: int | None
    p95_ms: int | None


@dataclass(frozen=True, slots=True)
class History:
    """The last 24 hours and the last 30 days of one webhook: each of them, the oldest first, and all of them together.

    The current hour and the current day are the last ones.
    """

    hours: tuple[AttemptStats, ...]
    days: tuple[AttemptStats, ...]
    day: AttemptStats
    month: AttemptStats


def history(webhook: Webhook, *, now: datetime) -> History:
    """Return the history of one webhook, in two queries for at most 54 rows."""
    hours, day = _periods(webhook, TotalSpan.HOUR, HOURS, now=now)
    days, month = _periods(webhook, TotalSpan.DAY, DAYS, now=now)
    return History(hours, days, day, month)


def last_day(ids: Iterable[int], *, now: datetime) -> dict[int, AttemptStats]:
    """Return the last 24 hours of these webhooks, by key, in one query. Each key has an entry."""
    return _of_webhooks(ids, TotalSpan.HOUR, HOURS, now=now)


def last_month(ids: Iterable[int], *, now: datetime) -> dict[int, AttemptStats]:
    """Return the last 30 days of these webhooks, by key, in one query. Each key has an entry."""
    return _of_webhooks(ids, TotalSpan.DAY, DAYS, now=now)


def first_start(span: TotalSpan, number: int, now: datetime) -> datetime:
    """Return the start of the first of the last ``number`` hours or days, the current one included."""
    return start_of(span, now) - timedelta(hours=span) * (number - 1)


def percentile(counts: Sequence[int], share: float, *, limits: Sequence[int]) -> int | None:
    """Return the value that this share of the values did not exceed; None without values.

    Args:
        counts: How many values each bucket has.
        share: 0 to 1.
        limits: The upper limit of each bucket. The first bucket begins at 0.

    The result lies in the right bucket. Within it, values are taken as evenly distributed.
    """
    remaining = share * sum(counts)
    if not remaining:
        return None
    start = 0
    for count, end in zip(counts, limits, strict=True):
        if count and remaining <= count:
            return round(start + (end - start) * remaining / count)
        remaining -= count
        start = end
    return limits[-1]


def _periods(
    webhook: Webhook, span: TotalSpan, number: int, *, now: datetime
) -> tuple[tuple[AttemptStats, ...], AttemptStats]:
    """Return each of the last hours or days, and all of them together."""
    first = first_start(span, number, now)
    rows = DeliveryTotal.objects.filter(webhook=webhook, span=span, starts_at__gte=first).values("starts_at", *COUNTS)
    found = {row.pop("starts_at"): Counter(row) for row in rows}
    starts = [first + timedelta(hours=span) * index for index in range(number)]
    total = sum((found.get(start, Counter()) for start in starts), Counter[str]())
    return tuple(_stats(start, found.get(start, {})) for start in starts), _stats(first, total)


def _of_webhooks(ids: Iterable[int], span: TotalSpan, number: int, *, now: datetime) -> dict[int, AttemptStats]:
    first, keys = first_start(span, number, now), list(ids)
    rows = DeliveryTotal.objects.filter(webhook__in=keys, span=span, starts_at__gte=first).order_by()
    sums: Any = rows.values("webhook").annotate(**{f"sum_{name}": Sum(name) for name in COUNTS})
    counts = {row["webhook"]: {name: row[f"sum_{name}"] for name in COUNTS} for row in sums}
    return {key: _stats(first, counts.get(key, {})) for key in keys}


def _stats(starts_at: datetime, counts: Mapping[str, int]) -> AttemptStats:
    delivered, retried, given_up = (counts.get(name, 0) for name in ("delivered", "retried", "given_up"))
    attempts = delivered + retried + given_up
    durations = [counts.get(name, 0) for name in DURATIONS]
    limits = (*DURATION_LIMITS_MS, MAX_DURATION_MS)
    return AttemptStats(
        starts_at=starts_at,
        attempts=attempts,
        delivered=delivered,
        retried=retried,
        given_up=given_up,
        success_rate=delivered / attempts if attempts else None,
        p50_ms=percentile(durations, 0.5, limits=limits),
        p95_ms=percentile(durations, 0.95, limits=limits),
    )
