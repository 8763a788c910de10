"""Totals of attempts for each webhook, hour and day: results, durations and lags. They outlive the deliveries."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cache, partial
from typing import NamedTuple

from django.db import models

from tms_webhooks.choices import AttemptResult, TotalSpan
from tms_webhooks.db import sql
from tms_webhooks.models.webhook import Webhook

DURATION_LIMITS_MS = (10, 20, 40, 80, 160, 320, 640, 1_280, 2_560, 5_120, 10_240)
"""Upper limits of the buckets of durations; the last bucket has none."""
LAG_LIMITS_MS = (10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 45_000, 120_000, 600_000, 3_600_000)
"""Upper limits of the buckets of lags, from an event to its first attempt; the last bucket has none."""

DURATIONS = (*(f"took_{limit}" for limit in DURATION_LIMITS_MS), "took_longer")
LAGS = (*(f"lag_{limit}" for limit in LAG_LIMITS_MS), "lag_longer")
RESULTS = tuple(result.value for result in AttemptResult)
COUNTS = RESULTS + DURATIONS + LAGS
NAMES = {result: result.value for result in AttemptResult}

# Add rows of counts. By the unique constraint tms_total_once_per_span. Counts are whole numbers in the statement itself.
ADD = """
INSERT INTO {deliverytotal} (webhook_id, span, starts_at, {columns}) {rows}
{conflict} {sums}"""
ON_CONFLICT = "ON CONFLICT (webhook_id, span, starts_at) DO UPDATE SET"
ON_CONFLICT_IN_MYSQL = "ON DUPLICATE KEY UPDATE"


class CountedAttempt(NamedTuple):
    """One attempt to count.

    ``duration_ms`` is None if the receiver neither answered nor timed out. ``lag_ms`` is None unless it is the first
    attempt of a delivery that was neither replayed nor resent by a user.
    """

    webhook_id: int
    started_at: datetime
    result: AttemptResult
    duration_ms: int | None
    lag_ms: int | None = None


class DeliveryTotalManager(models.Manager["DeliveryTotal"]):
    """Adds attempts to the totals."""

    def add(self, attempts: Iterable[CountedAttempt]) -> None:
        """Count these attempts in one statement, in the transaction that inserts them.

        The rows are changed in one order, so that two workers do not deadlock.
        """
        self.addition(attempts)()

    def addition(self, attempts: Iterable[CountedAttempt]) -> Callable[[], object]:
        """Return a function that counts these attempts, prepared ahead to keep the transaction that calls it short."""
        rows = increments_of(attempts)
        if not rows:
            return lambda: None
        moments = {moment: sql.moment(moment) for moment in {row.starts_at for row in rows}}
        counted = sorted(set().union(*(row.counts for row in rows)), key=COUNTS.index)
        lines = [
            f"({int(row.webhook_id)}, {int(row.span)}, %s, {', '.join(str(int(row.counts[name])) for name in COUNTS)})"
            for row in rows
        ]
        statement = addition_of(f"VALUES {', '.join(lines)}", counted)
        return partial(sql.write, statement, [moments[row.starts_at] for row in rows])


class TotalIncrement(NamedTuple):
    """The counts to add to one row."""

    webhook_id: int
    span: TotalSpan
    starts_at: datetime
    counts: Counter[str]


def increments_of(attempts: Iterable[CountedAttempt]) -> list[TotalIncrement]:
    """Return the counts that these attempts add to each row, in the order of the rows."""
    # Equal attempts are counted first, to keep the work for each attempt small.
    equal = Counter(
        (
            one.webhook_id,
            one.started_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0),
            one.result,
            None if one.duration_ms is None else DURATIONS[bisect_left(DURATION_LIMITS_MS, one.duration_ms)],
            None if one.lag_ms is None else LAGS[bisect_left(LAG_LIMITS_MS, one.lag_ms)],
        )
        for one in attempts
    )
    counts: dict[tuple[int, TotalSpan, datetime], Counter[str]] = defaultdict(Counter)
    for (webhook_id, hour, result, *buckets), number in equal.items():
        added = dict.fromkeys([NAMES[result], *filter(None, buckets)], number)
        for span in TotalSpan:
            counts[webhook_id, span, start_of(span, hour)].update(added)
    return [TotalIncrement(*key, counts[key]) for key in sorted(counts)]


def addition_of(rows: str, counted: Iterable[str] = COUNTS) -> str:
    """Return the statement that adds these rows, a ``VALUES`` list or a query, to the totals.

    ``counted`` are the counts that are not zero in all rows.
    """
    in_mysql = sql.database().vendor == "mysql"
    table = sql.filled("{deliverytotal}")
    added = "{0} = {0} + VALUES({0})" if in_mysql else f"{{0}} = {table}.{{0}} + excluded.{{0}}"
    return ADD.format(
        deliverytotal=table,
        columns=", ".join(COUNTS),
        rows=rows,
        conflict=ON_CONFLICT_IN_MYSQL if in_mysql else ON_CONFLICT,
        sums=", ".join(added.format(name) for name in counted),
    )


@cache
def json_rows() -> str:
    """Return PostgreSQL's query for the increments in one parameter from `json_of`."""
    fields = DeliveryTotal._meta.concrete_fields
    return sql.recordset([one for one in fields if not one.primary_key], sql.database())


def json_of(increments: Iterable[TotalIncrement]) -> str:
    """Return increments as the parameter of `json_rows`."""
    return sql.as_json(
        {"webhook_id": one.webhook_id, "span": int(one.span), "starts_at": one.starts_at}
        | {name: one.counts.get(name, 0) for name in COUNTS}
        for one in increments
    )


class DeliveryTotal(models.Model):
    """The attempts of one webhook that began in one hour, or on one day (of UTC)."""

    # No constraint in the database, as on `Delivery.webhook`: it is written with every batch.
    webhook = models.ForeignKey(
        Webhook, on_delete=models.CASCADE, related_name="totals", db_constraint=False, db_index=False
    )
    span = models.PositiveSmallIntegerField(choices=TotalSpan.choices)
    starts_at = models.DateTimeField()
    delivered = models.PositiveIntegerField(default=0)
    retried = models.PositiveIntegerField(default=0)
    given_up = models.PositiveIntegerField(default=0)

    webhook_id: int

    objects = DeliveryTotalManager()

    class Meta:
        indexes = [
            # Totals of a period across webhooks; totals to prune.
            models.Index(fields=["span", "starts_at"], name="tms_total_by_age"),
        ]
        constraints = [
            # Also the index for the totals of one webhook.
            models.UniqueConstraint(fields=["webhook", "span", "starts_at"], name="tms_total_once_per_span"),
        ]


# A column for each bucket.
for _name in (*DURATIONS, *LAGS):
    DeliveryTotal.add_to_class(_name, models.PositiveIntegerField(default=0))


def start_of(span: TotalSpan, moment: datetime) -> datetime:
    """Return the start of the hour or day (of UTC) that contains a moment."""
    hour = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return hour.replace(hour=0) if span == TotalSpan.DAY else hour
