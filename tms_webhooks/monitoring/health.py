"""The health of webhooks in one word, from the figures of the last 24 hours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import F, Q, QuerySet, Sum

from tms_webhooks.choices import DISABLED_BY_USER, Health, TotalSpan
from tms_webhooks.models import DeliveryTotal, Webhook
from tms_webhooks.models.webhook import HEAVY_COLUMNS
from tms_webhooks.monitoring.backlog import belongs_to
from tms_webhooks.monitoring.history import HOURS, AttemptStats, first_start, last_day

LEAST_SUCCESS_RATE = 0.95
"""The share of the attempts of a healthy webhook that is delivered."""
URGENCY = (Health.DISABLED, Health.FAILING, Health.DEGRADED)
"""The order in which webhooks need attention."""


@dataclass(frozen=True, slots=True)
class WebhookHealth:
    """The health of a webhook, and the attempts of the last 24 hours that it is made of."""

    word: Health
    day: AttemptStats


def health_of(webhook: Webhook, day: AttemptStats) -> Health:
    """Return the health of a webhook with these attempts in the last 24 hours."""
    if not webhook.enabled:
        return Health.DISABLED
    # Counts the pauses since the last success. Between two pauses the receiver is tried again.
    if webhook.pauses:
        return Health.FAILING
    if day.success_rate is None:
        return Health.DEGRADED if webhook.failures else Health.IDLE
    return Health.DEGRADED if day.given_up or day.success_rate < LEAST_SUCCESS_RATE else Health.HEALTHY


def health_by_webhook(webhooks: Iterable[Webhook], *, now: datetime) -> dict[int, WebhookHealth]:
    """Return the health of these webhooks, by key, in one query."""
    rows = list(webhooks)
    days = last_day([one.pk for one in rows], now=now)
    return {one.pk: WebhookHealth(health_of(one, days[one.pk]), days[one.pk]) for one in rows}


def needing_attention(organization: Any, *, now: datetime, most: int) -> list[tuple[Webhook, WebhookHealth]]:
    """Return the webhooks that were disabled automatically, are failing or degraded, the most urgent first, in three queries.

    Args:
        organization: An object or its key, a queryset of several, or None for all.
        most: The largest number of webhooks to return, and of degraded ones to look for.
    """
    worst = [row["webhook"] for row in _degraded(organization, now=now)[:most]]
    stopped = Q(enabled=False) & ~Q(disabled_reason__in=DISABLED_BY_USER)
    rows = (
        Webhook.objects.existing()
        .filter(belongs_to(organization))
        .filter(stopped | Q(enabled=True, failures__gt=0) | Q(enabled=True, pk__in=worst))
        .select_related("organization")
        .defer(*HEAVY_COLUMNS)
        .order_by("enabled", "-pauses", "-failures", "pk")[:most]
    )
    webhooks = list(rows)
    found = health_by_webhook(webhooks, now=now)
    ill = [(one, found[one.pk]) for one in webhooks if found[one.pk].word in URGENCY]
    return sorted(ill, key=lambda pair: (URGENCY.index(pair[1].word), -pair[1].day.given_up))


def _degraded(organization: Any, *, now: datetime) -> QuerySet[Any, Any]:
    """Return the keys of the webhooks whose figures of the last 24 hours are degraded, as ``webhook``."""
    rows = DeliveryTotal.objects.filter(
        belongs_to(organization, path="webhook__organization"),
        span=TotalSpan.HOUR,
        starts_at__gte=first_start(TotalSpan.HOUR, HOURS, now),
        webhook__deleted_at__isnull=True,
        webhook__enabled=True,
    )
    sums = rows.order_by().values("webhook").annotate(ok=Sum("delivered"), again=Sum("retried"), lost=Sum("given_up"))
    too_few = Q(ok__lt=LEAST_SUCCESS_RATE * (F("ok") + F("again") + F("lost")))
    return sums.filter(Q(lost__gt=0) | too_few).order_by("-lost", "webhook")
