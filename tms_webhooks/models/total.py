"""Totals of attempts for each webhook, hour and day: results, durations and lags. They outlive the deliveries."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, NamedTuple

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
KEY = ("webhook_id", "span", "starts_at")

# Add rows of counts. By the unique constraint tms_total_once_per_span. SQLite needs the condition:
# without one, it takes ON CONFLICT for a part of the query.
ADD = """
INSERT INTO {deliverytotal} (webhook_id, span, starts_at, {columns})
SELECT webhook_id, span, starts_at, {counts} FROM ({rows}) added WHERE {condition}
{conflict} {sums}"""
ON_CONFLICT = "ON CONFLICT (webhook_id, span, starts_at) DO UPDATE SET", "excluded.{0}"
ON_CONFLICT_IN_MYSQL = "ON DUPLICATE KEY UPDATE", "VALUES({0})"


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

    def addition(self, attempts: Iterable[CountedAttempt]) -> Callable[[], object]:
        """Return a function that counts these attempts in one statement. Call it in the transaction that inserts them.

        It is prepared ahead, to keep that transaction short. The rows are changed in one order, so that two workers do not
        deadlock.
        """
        rows = increments_of(attempts)
        counted = tuple(name for name in COUNTS if any(name in row for row in rows))
        return partial(sql.write, addition_of(counted), [sql.as_json(rows)]) if rows else lambda: None


def increments_of(attempts: Iterable[CountedAttempt]) -> list[dict[str, Any]]:
    """Return the rows that these attempts add, by column and in their order: with the counts that are not 0."""
    # Equal attempts are counted first, to keep the work for each attempt small.
    equal = Counter(
        (
            one.webhook_id,
            start_of(TotalSpan.HOUR, one.started_at),
            NAMES[one.result],
            None if one.duration_ms is None else DURATIONS[bisect_left(DURATION_LIMITS_MS, one.duration_ms)],
            None if one.lag_ms is None else LAGS[bisect_left(LAG_LIMITS_MS, one.lag_ms)],
        )
        for one in attempts
    )
    hours = {hour for _pk, hour, *_names in equal}
    starts = {(span, hour): sql.moment(start_of(span, hour)) for span in TotalSpan for hour in hours}
    rows = defaultdict[tuple[Any, ...], dict[str, Any]](dict)
    for (webhook_id, hour, *names), number in equal.items():
        for span in TotalSpan:
            row = rows[webhook_id, span, starts[span, hour]]
            for name in filter(None, names):
                row[name] = row.get(name, 0) + number
    return [dict(zip(KEY, key, strict=True)) | rows[key] for key in sorted(rows)]


@cache
def addition_of(counted: tuple[str, ...] = COUNTS, condition: str = "true") -> str:
    """Return the statement that adds rows, one parameter from `as_json` of `increments_of`, under a condition.

    ``counted`` are the counts that are not zero in all rows.
    """
    connection = sql.database()
    fields = {one.column: one for one in DeliveryTotal._meta.concrete_fields}
    conflict, added = ON_CONFLICT_IN_MYSQL if connection.vendor == "mysql" else ON_CONFLICT
    table = sql.filled("{deliverytotal}")
    return ADD.format(
        deliverytotal=table,
        columns=", ".join(COUNTS),
        counts=", ".join(f"COALESCE({name}, 0)" if name in counted else "0" for name in COUNTS),
        rows=sql.recordset([fields[name] for name in (*KEY, *counted)], connection),
        condition=condition,
        conflict=conflict,
        sums=", ".join(f"{name} = {table}.{name} + {added.format(name)}" for name in counted),
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
