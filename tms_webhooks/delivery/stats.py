"""How deliveries fare: numbers for people, from the newest of each webhook and from totals, never from the whole history."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import connections, router
from django.db.models import F

from tms_webhooks.delivery.backlog import Backlog, Waiting, owned, summed_up, waiting
from tms_webhooks.delivery.totals import Bar, months
from tms_webhooks.models import Delivery, Webhook

SAMPLE = 1_000
LEAST_SAMPLE = 50
# All samples together: the more webhooks, the smaller each of them.
SAMPLE_OF_ALL = 5_000
MOST_WEBHOOKS = SAMPLE_OF_ALL // LEAST_SAMPLE
# From 1000 on MariaDB makes a table of the keys, and reads all of ours to join it.
KEYS_AT_ONCE = 999

LAG_OVER = timedelta(hours=1)
DAY = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class Lag:
    """Seconds from an event to the first attempt to bring it somewhere, without the webhook's own delay.

    None where nothing was tried for the first time within the hour. ``deliveries`` is how many it is taken from.
    """

    deliveries: int
    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class Window:
    """The attempts of one webhook in a time range.

    Attributes:
        attempts: How many of them are in the sample.
        success_rate: The share that the receiver took, 0 to 1; None without attempts.
        p50_ms, p95_ms: Milliseconds that half of them and 19 of 20 stayed below; None without attempts.
        complete: Whether these are all there were. If not, the sample reaches back less far than the range.
    """

    attempts: int
    success_rate: float | None
    p50_ms: int | None
    p95_ms: int | None
    complete: bool


NEVER = Window(0, None, None, None, complete=True)


@dataclass(frozen=True, slots=True)
class WebhookStats:
    """One webhook.

    Attributes:
        state: ``enabled``, ``paused`` or ``disabled``.
        backlog: Deliveries that are open.
        due_seconds: For how long the first that may be sent now has been due; None if none is.
        statuses: How many of its newest deliveries stand where.
        day: The last 24 hours, by its last attempts.
        month: The last 30 days, by the totals: all attempts, with durations right to their class.
    """

    id: int
    name: str
    organization: Any
    state: str
    failures: int
    backlog: int
    due_seconds: float | None
    statuses: Mapping[str, int]
    day: Window
    month: Window


@dataclass(frozen=True, slots=True)
class Stats:
    """Everything. ``left_out`` is the number of webhooks that are not in ``webhooks``."""

    backlog: Backlog
    lag: Lag
    webhooks: tuple[WebhookStats, ...]
    left_out: int


class Line(NamedTuple):
    """One attempt of the sample, with what is needed of its delivery and event. No attempt yet: empty."""

    delivery_id: int
    webhook_id: int
    status: str
    created_at: datetime
    reopened_at: datetime | None
    occurred_at: datetime
    number: int | None
    started_at: datetime | None
    duration_ms: int | None
    error_class: str | None


COLUMNS = (
    "pk",
    "webhook_id",
    "status",
    "created_at",
    "reopened_at",
    "event__occurred_at",
    "attempt_log__number",
    "attempt_log__started_at",
    "attempt_log__duration_ms",
    "attempt_log__error_class",
)
"""Where the fields of a `Line` are read."""


class Sample(NamedTuple):
    """Keys of deliveries: the newest, and the newest that were tried; ``cut`` tells that there are more of these."""

    newest: set[int]
    tried: set[int]
    cut: bool


def stats(*, now: datetime, organization: Any = None, webhook: Webhook | None = None) -> Stats:
    """Return how deliveries fare: of all, of one organization (an object or its key) or several (a queryset), or of one
    webhook.

    Takes some ten queries, however many webhooks there are. The numbers of a webhook's day are those of its last attempts,
    at most 1000; of many webhooks the hundred that were served last are looked at, and fewer attempts of each.
    """
    rows = Webhook.objects.existing()
    rows = rows.filter(owned(organization)) if webhook is None else rows.filter(pk=webhook.pk)
    webhooks = list(rows.order_by(F("served_at").desc(nulls_last=True), "pk").defer("headers")[:MOST_WEBHOOKS])
    open_ones = waiting(now=now, organization=organization, webhook=webhook)
    samples = _samples([one.pk for one in webhooks])
    lines = _lines(samples)
    past = months((one.pk for one in webhooks), now=now)
    return Stats(
        backlog=summed_up(open_ones, now=now, organization=organization, webhook=webhook),
        lag=_lag(webhooks, lines, now=now),
        webhooks=tuple(
            _of_one(
                one,
                open_ones.get(one.pk, Waiting(0, None)),
                samples.get(one.pk),
                lines.get(one.pk, ()),
                past.get(one.pk),
                now=now,
            )
            for one in webhooks
        ),
        left_out=rows.count() - len(webhooks) if len(webhooks) == MOST_WEBHOOKS else 0,
    )


def percentile(values: Sequence[float], share: float) -> float | None:
    """Return the value that this share of the sorted ``values`` does not exceed (the nearest rank)."""
    return values[max(0, math.ceil(share * len(values)) - 1)] if values else None


def _samples(ids: Sequence[int]) -> dict[int, Sample]:
    size = max(LEAST_SAMPLE, min(SAMPLE, SAMPLE_OF_ALL // max(1, len(ids))))
    newest: dict[int, set[int]] = defaultdict(set)
    tried: dict[int, set[int]] = defaultdict(set)
    attempts: Counter[int] = Counter()
    for pk, webhook_id, number, is_tried in _newest(ids, size=size) if ids else ():
        if not is_tried:
            newest[webhook_id].add(pk)
        elif attempts[webhook_id] < size:
            # Deferrals are not limited: a handful of deliveries may have thousands of attempts.
            attempts[webhook_id] += number
            tried[webhook_id].add(pk)
    return {pk: Sample(newest[pk], tried[pk], cut=attempts[pk] >= size) for pk in newest}


def _newest(ids: Sequence[int], *, size: int) -> list[tuple[int, int, int, int]]:
    """Read (delivery, webhook, attempts, tried): two ranges of the index ``tms_delivery_of_webhook`` for each webhook.

    The newest that were tried stand behind those that wait: what that costs grows with the backlog, not with the
    history.
    """
    connection = connections[router.db_for_read(Delivery)]
    table = connection.ops.quote_name(Delivery._meta.db_table)
    # Nested, because SQLite wants it so.
    one = (
        f"SELECT * FROM (SELECT id, webhook_id, attempts, {{tried}} AS tried FROM {table}"  # noqa: S608
        " WHERE webhook_id = %s{condition} ORDER BY id DESC LIMIT %s) u"
    )
    both = [one.format(tried=0, condition=""), one.format(tried=1, condition=" AND attempts > 0")]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join(both * len(ids)), [value for pk in ids for value in (pk, size) * 2])
        rows: list[tuple[int, int, int, int]] = cursor.fetchall()
    # A union keeps no order.
    return sorted(rows, reverse=True)


def _lines(samples: Mapping[int, Sample]) -> dict[int, list[Line]]:
    lines: dict[int, list[Line]] = defaultdict(list)
    keys = sorted({pk for sample in samples.values() for pk in sample.newest | sample.tried})
    for start in range(0, len(keys), KEYS_AT_ONCE):
        chosen = Delivery.objects.among(keys[start : start + KEYS_AT_ONCE]).order_by()
        for row in chosen.values_list(*COLUMNS):
            line = Line(*row)
            lines[line.webhook_id].append(line)
    return lines


def _lag(webhooks: Iterable[Webhook], lines: Mapping[int, Sequence[Line]], *, now: datetime) -> Lag:
    seconds = sorted(
        max(0.0, (line.started_at - line.occurred_at).total_seconds() - webhook.delay_seconds)
        for webhook in webhooks
        for line in lines.get(webhook.pk, ())
        # What was replayed or sent again by hand was meant to come late.
        if line.started_at is not None
        and line.started_at > now - LAG_OVER
        and line.number == 1
        and line.reopened_at is None
    )
    return Lag(len(seconds), percentile(seconds, 0.5), percentile(seconds, 0.95))


def _of_one(
    webhook: Webhook,
    open_ones: Waiting,
    sample: Sample | None,
    lines: Sequence[Line],
    month: Bar | None,
    *,
    now: datetime,
) -> WebhookStats:
    sample = sample or Sample(set(), set(), cut=False)
    statuses = Counter({line.delivery_id: line.status for line in lines if line.delivery_id in sample.newest}.values())
    tried = [line for line in lines if line.delivery_id in sample.tried]
    paused = webhook.enabled and not webhook.is_awake(now)
    due_since = open_ones.due_since
    return WebhookStats(
        id=webhook.pk,
        name=webhook.name,
        organization=webhook.organization_id,
        state="paused" if paused else "enabled" if webhook.enabled else "disabled",
        failures=webhook.failures,
        backlog=open_ones.deliveries,
        due_seconds=None if due_since is None else (now - due_since).total_seconds(),
        statuses=dict(sorted(statuses.items())),
        day=_window(tried, since=now - DAY, cut=sample.cut),
        month=NEVER if month is None else _of_totals(month),
    )


def _of_totals(bar: Bar) -> Window:
    return Window(bar.attempts, bar.success_rate, bar.took(0.5), bar.took(0.95), complete=True)


def _window(lines: Sequence[Line], *, since: datetime, cut: bool) -> Window:
    inside = [line for line in lines if line.started_at is not None and line.started_at > since]
    milliseconds = sorted(line.duration_ms for line in inside if line.duration_ms is not None)
    reaches_back = any(line.created_at <= since for line in lines)
    p50, p95 = percentile(milliseconds, 0.5), percentile(milliseconds, 0.95)
    return Window(
        attempts=len(inside),
        success_rate=sum(not line.error_class for line in inside) / len(inside) if inside else None,
        p50_ms=None if p50 is None else int(p50),
        p95_ms=None if p95 is None else int(p95),
        complete=not cut or reaches_back,
    )
