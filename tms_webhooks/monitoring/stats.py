"""Return the figures of deliveries for the API, the dashboard and ``webhooks_health``: backlog, lag, attempts by webhook.

Attempts and lag come from the totals, which count every attempt; the backlog comes from the indexes of open deliveries.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, Sum

from tms_webhooks.choices import Health, TotalSpan
from tms_webhooks.models import DeliveryTotal, OwnerlessObject, Webhook
from tms_webhooks.models.total import LAG_LIMITS_MS, LAGS
from tms_webhooks.models.webhook import HEAVY_COLUMNS
from tms_webhooks.monitoring.backlog import (
    Backlog,
    WebhookBacklog,
    backlog_by_webhook,
    belongs_to,
    total_backlog,
)
from tms_webhooks.monitoring.health import health_of
from tms_webhooks.monitoring.history import AttemptStats, first_start, last_day, last_month, percentile

MAX_WEBHOOKS = 100
LAG_HOURS = 2


@dataclass(frozen=True, slots=True)
class FirstAttemptLag:
    """Seconds from an event to its first attempt, less the webhook's own delay, in the current hour and the one before.

    Attributes:
        starts_at: Start of the hour before the current one.
        deliveries: Number of first attempts. Replays and deliveries that a user sends are not counted, and neither are the
            failures that `AttemptStats` leaves out.
        p50, p95: Seconds that 50 and 95 percent of them did not exceed, estimated by `percentile`; None without any. A lag
            of more than an hour counts as one hour.
    """

    starts_at: datetime
    deliveries: int
    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class WebhookStats:
    """The figures of one webhook.

    Attributes:
        state: ``enabled``, ``held``, ``paused`` or ``disabled``.
        health: Its health in one word, from the figures in ``day``.
        failures: Failed attempts in a row.
        backlog: Number of open deliveries.
        due_seconds: Seconds since the first delivery that may be sent now became due; None without one.
        day: Attempts of the last 24 hours.
        month: Attempts of the last 30 days.
    """

    id: int
    name: str
    organization: Any
    state: str
    health: Health
    failures: int
    backlog: int
    due_seconds: float | None
    day: AttemptStats
    month: AttemptStats


@dataclass(frozen=True, slots=True)
class Stats:
    """All figures. ``left_out`` is the number of webhooks that are not in ``webhooks``. ``ownerless`` is the number of
    objects whose events wait until they have an organization; 0 for a part of the webhooks."""

    backlog: Backlog
    lag: FirstAttemptLag
    webhooks: tuple[WebhookStats, ...]
    left_out: int
    ownerless: int


def stats(*, now: datetime, organization: Any = None, webhook: Webhook | None = None) -> Stats:
    """Return the figures of all webhooks, of one organization (an object or its key), of several (a queryset), or of one
    webhook.

    Takes at most eleven queries. Of more than 100 webhooks, those that were served last are returned.
    """
    rows = Webhook.objects.existing()
    rows = rows.filter(belongs_to(organization)) if webhook is None else rows.filter(pk=webhook.pk)
    webhooks = list(rows.order_by(F("served_at").desc(nulls_last=True), "pk").defer(*HEAVY_COLUMNS)[:MAX_WEBHOOKS])
    open_ones = backlog_by_webhook(now=now, organization=organization, webhook=webhook)
    keys = [one.pk for one in webhooks]
    days, months = last_day(keys, now=now), last_month(keys, now=now)
    none = WebhookBacklog(0, None)
    return Stats(
        backlog=total_backlog(open_ones, now=now, organization=organization, webhook=webhook),
        lag=first_attempt_lag(now=now, organization=organization, webhook=webhook),
        webhooks=tuple(
            _webhook_stats(one, open_ones.get(one.pk, none), days[one.pk], months[one.pk], now=now) for one in webhooks
        ),
        left_out=rows.count() - len(webhooks) if len(webhooks) == MAX_WEBHOOKS else 0,
        ownerless=OwnerlessObject.objects.count() if organization is None and webhook is None else 0,
    )


def first_attempt_lag(*, now: datetime, organization: Any = None, webhook: Webhook | None = None) -> FirstAttemptLag:
    """Return the lag of all webhooks, or of those that `stats` returns for the same arguments, in one query."""
    first = first_start(TotalSpan.HOUR, LAG_HOURS, now)
    rows = DeliveryTotal.objects.filter(span=TotalSpan.HOUR, starts_at__gte=first, webhook__deleted_at__isnull=True)
    if webhook is None:
        rows = rows.filter(belongs_to(organization, path="webhook__organization"))
    else:
        rows = rows.filter(webhook=webhook)
    sums = rows.aggregate(**{f"sum_{name}": Sum(name, default=0) for name in LAGS})
    counts = [sums[f"sum_{name}"] for name in LAGS]
    # The last bucket has no width: its lags count as its lower limit.
    limits = (*LAG_LIMITS_MS, LAG_LIMITS_MS[-1])
    p50, p95 = (percentile(counts, share, limits=limits) for share in (0.5, 0.95))
    return FirstAttemptLag(
        starts_at=first,
        deliveries=sum(counts),
        p50=None if p50 is None else p50 / 1000,
        p95=None if p95 is None else p95 / 1000,
    )


def _webhook_stats(
    webhook: Webhook, waiting: WebhookBacklog, day: AttemptStats, month: AttemptStats, *, now: datetime
) -> WebhookStats:
    return WebhookStats(
        id=webhook.pk,
        name=webhook.name,
        organization=webhook.organization_id,
        state=webhook.state(now),
        health=health_of(webhook, day),
        failures=webhook.failures,
        backlog=waiting.deliveries,
        due_seconds=None if waiting.due_since is None else (now - waiting.due_since).total_seconds(),
        day=day,
        month=month,
    )
