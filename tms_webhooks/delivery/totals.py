"""What attempts came to in the last day and the last month, from the totals: the same work for ten as for ten million."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Sum

from tms_webhooks.choices import TotalSpan
from tms_webhooks.models import DeliveryTotal, Webhook
from tms_webhooks.models.total import COUNTS, DURATIONS, MILLISECONDS, start_of

HOURS = 24
DAYS = 30
LONGEST_MS = 30_000
"""What a webhook may wait at most: where the last class of durations ends for us."""


@dataclass(frozen=True, slots=True)
class Bar:
    """The attempts that began in one hour or on one day, or in several of them."""

    starts_at: datetime
    counts: Mapping[str, int]

    @property
    def delivered(self) -> int:
        """Those that the receiver took."""
        return self.counts.get("delivered", 0)

    @property
    def retried(self) -> int:
        """Those that failed, with another one to follow."""
        return self.counts.get("retried", 0)

    @property
    def given_up(self) -> int:
        """Those that failed, and were the last ones of their deliveries."""
        return self.counts.get("given_up", 0)

    @property
    def attempts(self) -> int:
        """All of them."""
        return self.delivered + self.retried + self.given_up

    @property
    def success_rate(self) -> float | None:
        """The share that the receiver took, 0 to 1; None without attempts."""
        return self.delivered / self.attempts if self.attempts else None

    def took(self, share: float) -> int | None:
        """Return the milliseconds that this share of the answers did not exceed; None without answers.

        It is reckoned from how many took how long by classes whose ends double, so it is right to the class, and within
        it as if durations were spread evenly.
        """
        return duration([self.counts.get(name, 0) for name in DURATIONS], share)


@dataclass(frozen=True, slots=True)
class History:
    """One webhook: 24 hours and 30 days, the present ones last, and each of the two as a whole."""

    hours: tuple[Bar, ...]
    days: tuple[Bar, ...]

    @property
    def day(self) -> Bar:
        """The last 24 hours, as far back as the hour began."""
        return _sum(self.hours)

    @property
    def month(self) -> Bar:
        """The last 30 days, as far back as the day began."""
        return _sum(self.days)


def history(webhook: Webhook, *, now: datetime) -> History:
    """Return what the attempts of one webhook came to, in two queries for at most 54 rows."""
    first_hour = start_of(TotalSpan.HOUR, now) - timedelta(hours=HOURS - 1)
    first_day = start_of(TotalSpan.DAY, now) - timedelta(days=DAYS - 1)
    rows = DeliveryTotal.objects.filter(webhook=webhook)
    # Two ranges of the same index, told as such: an OR of both is read from neither.
    found = [
        {row.starts_at: _counts(row) for row in rows.filter(span=span, starts_at__gte=first)}
        for span, first in ((TotalSpan.HOUR, first_hour), (TotalSpan.DAY, first_day))
    ]
    return History(
        hours=_bars(found[0], first_hour, timedelta(hours=1), HOURS),
        days=_bars(found[1], first_day, timedelta(days=1), DAYS),
    )


def months(ids: Iterable[int], *, now: datetime) -> dict[int, Bar]:
    """Return the last 30 days of these webhooks, in one query; those without attempts are left out."""
    first = start_of(TotalSpan.DAY, now) - timedelta(days=DAYS - 1)
    rows = DeliveryTotal.objects.filter(webhook__in=list(ids), span=TotalSpan.DAY, starts_at__gte=first).order_by()
    sums: Any = rows.values("webhook").annotate(**{f"all_{name}": Sum(name) for name in COUNTS})
    return {row["webhook"]: Bar(first, {name: row[f"all_{name}"] for name in COUNTS}) for row in sums}


def duration(counts: Sequence[int], share: float) -> int | None:
    """Return the milliseconds that this share stayed below, given how many fell into each class of duration."""
    wanted = share * sum(counts)
    if not wanted:
        return None
    start = 0
    for count, end in zip(counts, (*MILLISECONDS, LONGEST_MS), strict=True):
        if count and wanted <= count:
            return round(start + (end - start) * wanted / count)
        wanted -= count
        start = end
    return LONGEST_MS


def _bars(
    found: Mapping[datetime, Mapping[str, int]], first: datetime, step: timedelta, number: int
) -> tuple[Bar, ...]:
    moments = [first + step * place for place in range(number)]
    return tuple(Bar(moment, found.get(moment, {})) for moment in moments)


def _counts(row: Any) -> dict[str, int]:
    return {name: getattr(row, name) for name in COUNTS}


def _sum(bars: Iterable[Bar]) -> Bar:
    bars = tuple(bars)
    return Bar(bars[0].starts_at, {name: sum(bar.counts.get(name, 0) for bar in bars) for name in COUNTS})
