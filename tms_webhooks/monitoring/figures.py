"""The figures of webhooks for the API, the admin and ``webhooks_health``: attempts, response times, lag, and the health.

They come from the totals of attempts by hour and by day. A total is written in the transaction that records its attempts,
so these figures are complete and never late. The cost of reading them depends on the number of webhooks and not on the
number of attempts. The backlog comes from the indexes of open deliveries.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from django.db.models import Count, Exists, F, Min, OuterRef, Q, QuerySet, Sum

from tms_webhooks.choices import DISABLED_BY_USER, DeliveryStatus, Health, Priority, TotalSpan
from tms_webhooks.db.sql import key_in
from tms_webhooks.models import Delivery, DeliveryTotal, Event, FanOutFailure, OwnerlessObject, Webhook
from tms_webhooks.models.total import COUNTS, DURATION_LIMITS_MS, DURATIONS, LAG_LIMITS_MS, LAGS, start_of
from tms_webhooks.models.webhook import HEAVY_COLUMNS, ReceiverQuerySet

Rows = TypeVar("Rows", bound=QuerySet[Any])

HOURS = 24
DAYS = 30
MAX_DURATION_MS = 30_000
"""The longest timeout of a webhook, and the upper limit of the last bucket of durations."""
LEAST_SUCCESS_RATE = 0.95
"""The share of the attempts of a healthy webhook that is delivered."""
URGENCY = (Health.DISABLED, Health.FAILING, Health.DEGRADED)
"""The words of webhooks that need attention, the most urgent first."""
MAX_WEBHOOKS = 100
DAY, HOUR = timedelta(hours=24), timedelta(hours=1)
RECENT_HOURS = 2
"""The current hour and the one before, which together contain the last 60 minutes."""


# The backlog


class WebhookBacklog(NamedTuple):
    """The open deliveries of one webhook.

    Attributes:
        deliveries: Number of open deliveries.
        due_since: Since when the first delivery that may be sent now is due, and its webhook neither paused nor held;
            None without one.
    """

    deliveries: int
    due_since: datetime | None


@dataclass(frozen=True, slots=True)
class Backlog:
    """Open deliveries and new events.

    Attributes:
        deliveries: Number of open deliveries: pending, in flight, or waiting for a retry.
        leased: Number of due deliveries of webhooks that a worker has leased: those in flight, and those that are next.
        oldest_due_seconds: Seconds since the first delivery that may be sent now became due; None without one. A delivery
            of a paused webhook, or one that waits for an earlier event of the same object, may not be sent. The time
            before the end of a pause does not count.
        oldest_due_webhook: Key of the webhook of that delivery.
        events: Number of events without deliveries yet.
        oldest_event_seconds: Age of the first of those events; None without one.
        set_aside: Number of events that are set aside, because their fan-out failed several times.
        oldest_set_aside_seconds: Age of the first of those events; None without one.
        set_aside_error: The id of that event, and its error.
    """

    deliveries: int
    leased: int
    oldest_due_seconds: float | None
    oldest_due_webhook: int | None
    events: int
    oldest_event_seconds: float | None
    set_aside: int = 0
    oldest_set_aside_seconds: float | None = None
    set_aside_error: str = ""


def backlog(
    by_webhook: Mapping[int, WebhookBacklog], *, now: datetime, webhooks: ReceiverQuerySet | None = None
) -> Backlog:
    """Return the backlog of these webhooks, or of all; ``by_webhook`` is the result of `backlog_by_webhook` for them.

    The new events are those of their organizations: they are not matched with subscriptions yet.
    """
    due = [(since, pk) for pk, found in by_webhook.items() if (since := found.due_since) is not None]
    due_since, due_webhook = min(due, default=(None, None))
    events = Event.objects.order_by()
    if webhooks is not None:
        events = events.filter(organization__in=webhooks.order_by().values("organization"))
    # Counted anyway: the first by key is found in the same read of the index.
    waiting, aside = (
        rows.order_by().aggregate(count=Count("*"), first=Min("pk"))
        for rows in (events.to_fan_out(), events.set_aside())
    )
    firsts = {one["first"] for one in (waiting, aside)} - {None}
    oldest = Event.objects.only("uid", "occurred_at").in_bulk(firsts)
    first, first_aside = (oldest.get(one["first"]) for one in (waiting, aside))
    error = (
        FanOutFailure.objects.filter(pk=aside["first"]).values_list("error", flat=True).first()
        if aside["count"]
        else ""
    )
    return Backlog(
        deliveries=sum(found.deliveries for found in by_webhook.values()),
        leased=of_webhooks(Delivery.objects.maybe_in_flight(now), webhooks).count(),
        oldest_due_seconds=seconds_since(due_since, now),
        oldest_due_webhook=due_webhook,
        events=waiting["count"],
        oldest_event_seconds=seconds_since(first.occurred_at if first else None, now),
        set_aside=aside["count"],
        oldest_set_aside_seconds=seconds_since(first_aside.occurred_at if first_aside else None, now),
        set_aside_error=f"{first_aside.public_id}: {error}" if first_aside else "",
    )


def backlog_by_webhook(*, now: datetime, webhooks: ReceiverQuerySet | None = None) -> dict[int, WebhookBacklog]:
    """Return the open deliveries of each of these webhooks, or of all, by its key. Deleted webhooks are left out.

    Reads once the index of open deliveries, ``tms_delivery_claim``.
    """
    rows = of_webhooks(Delivery.objects.open(), webhooks).order_by().values("webhook", "priority")
    priorities = list(
        rows.annotate(count=Count("*"), first=Min("due_at")).values_list("webhook", "priority", "count", "first")
    )
    rows_of_webhooks = Webhook.objects.existing().filter(key_in({row[0] for row in priorities}))
    existing = {webhook.pk: webhook for webhook in rows_of_webhooks.select_related("state").defer(*HEAVY_COLUMNS)}
    unblocked = _first_unblocked((one.pk for one in existing.values() if one.ordered), now)
    found: dict[int, WebhookBacklog] = {}
    for pk, priority, count, first in priorities:
        webhook = existing.get(pk)
        if webhook is None:
            continue
        total, due = found.get(pk, WebhookBacklog(0, None))
        since = None
        if priority == Priority.MANUAL:
            since = first
        elif webhook.is_awake(now) and (since := unblocked.get(pk) if webhook.ordered else first):
            since = max([since, *filter(None, (webhook.state.paused_until, webhook.state.held_until))])
        if since is not None and since <= now:
            due = min(since, due or since)
        found[pk] = WebhookBacklog(total + count, due)
    return found


def of_webhooks(rows: Rows, webhooks: ReceiverQuerySet | None) -> Rows:
    """Return the rows of these webhooks; all rows for None."""
    return rows if webhooks is None else rows.filter(webhook__in=webhooks.order_by())


def _first_unblocked(ids: Iterable[int], now: datetime) -> dict[int, datetime]:
    """Return when the first delivery that waits for no earlier event became due, for each of these ordered webhooks."""
    chosen = list(ids)
    if not chosen:
        return {}
    earlier = Delivery.objects.open().filter(
        webhook=OuterRef("webhook"), order_key=OuterRef("order_key"), event__lt=OuterRef("event")
    )
    due = Delivery.objects.due(now).filter(~Exists(earlier), webhook__in=chosen).exclude(priority=Priority.MANUAL)
    return dict(due.order_by().values("webhook").annotate(first=Min("due_at")).values_list("webhook", "first"))


def seconds_since(moment: datetime | None, now: datetime) -> float | None:
    """Return the seconds since a time, at least 0; None without a time."""
    return None if moment is None else max(0.0, (now - moment).total_seconds())


# Attempts and health


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


class History(NamedTuple):
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


def _of_webhooks(keys: Sequence[int], span: TotalSpan, number: int, *, now: datetime) -> dict[int, AttemptStats]:
    """Return the last hours or days of these webhooks together, by key, in one query. Each key has an entry."""
    first = first_start(span, number, now)
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


class WebhookHealth(NamedTuple):
    """The health of a webhook, and the figures that it is made of.

    Attributes:
        word: The health in one word.
        day: The attempts of the last 24 hours.
        hour_rate: The share of the attempts that was delivered in the current hour and the one before; 1 if no attempt
            failed within an hour.
        lost: Deliveries that were given up in the last 24 hours, and not delivered since.
        recovered: Deliveries that were given up in the last 24 hours, and delivered since.
    """

    word: Health
    day: AttemptStats
    hour_rate: float
    lost: int
    recovered: int


def health_by_webhook(webhooks: Iterable[Webhook], *, now: datetime) -> dict[int, WebhookHealth]:
    """Return the health of these webhooks, by key, in four queries at most."""
    rows = list(webhooks)
    keys = [one.pk for one in rows]
    days = _of_webhooks(keys, TotalSpan.HOUR, HOURS, now=now)
    rates = dict(_hour_rates([one.pk for one in rows if one.state.failed_at], now))
    given_up = Delivery.objects.filter(webhook__in=keys, given_up_at__gt=now - DAY).order_by().values("webhook")
    is_delivered = Q(status=DeliveryStatus.DELIVERED)
    counts = given_up.annotate(lost=Count("pk", filter=~is_delivered), recovered=Count("pk", filter=is_delivered))
    by_key = {pk: numbers for pk, *numbers in counts.values_list("webhook", "lost", "recovered")}
    # A retry may follow hours after the failure.
    silent = [one.pk for one in rows if one.state.failures and one.pk not in rates]
    waiting = Delivery.objects.filter(status=DeliveryStatus.WAITING, webhook__in=silent).order_by()
    retried = set(waiting.values_list("webhook", flat=True).distinct())
    found = {}
    for one in rows:
        day, rate, (lost, recovered) = days[one.pk], rates.get(one.pk, 1.0), by_key.get(one.pk, (0, 0))
        word = Health.HEALTHY if day.attempts else Health.IDLE
        if not one.enabled:
            word = Health.DISABLED
        # Counts the pauses since the last success. Between two pauses the receiver is tried again.
        elif one.state.pauses:
            word = Health.FAILING
        elif lost or one.state.is_held(now) or one.pk in retried or rate < LEAST_SUCCESS_RATE:
            word = Health.DEGRADED
        found[one.pk] = WebhookHealth(word, day, rate, lost, recovered)
    return found


def needing_attention(webhooks: ReceiverQuerySet, *, now: datetime, most: int) -> list[tuple[Webhook, WebhookHealth]]:
    """Return those that were disabled automatically, are failing, degraded or held, the most urgent first, in six queries at most.

    ``most`` is the largest number of webhooks to return, and of those that failed lately to look for.
    """
    rates = _hour_rates(webhooks.enabled().order_by(), now).filter(rate__lt=LEAST_SUCCESS_RATE)
    too_few = [pk for pk, _rate in rates.order_by("webhook")[:most]]
    given_up = Delivery.objects.filter(webhook=OuterRef("pk"), given_up_at__gt=now - DAY)
    is_stopped = Q(enabled=False) & ~Q(disabled_reason__in=DISABLED_BY_USER)
    is_ill = (
        Q(state__failures__gt=0)
        | Q(state__held_until__gt=now)
        | Q(pk__in=too_few)
        | Q(Exists(given_up.exclude(status=DeliveryStatus.DELIVERED)))
    )
    rows = (
        webhooks.existing()
        .filter(is_stopped | Q(is_ill, enabled=True))
        .select_related("organization", "state")
        .defer(*HEAVY_COLUMNS)
        .order_by("enabled", "-state__pauses", "-state__failures", "pk")[:most]
    )
    found = health_by_webhook(rows, now=now)
    ill = [(one, found[one.pk]) for one in rows if found[one.pk].word in URGENCY]
    return sorted(ill, key=lambda pair: (URGENCY.index(pair[1].word), -pair[1].lost))


def _hour_rates(webhooks: ReceiverQuerySet | Sequence[int], now: datetime) -> Any:
    """Return pairs of the key and the `WebhookHealth.hour_rate` of those webhooks that failed within an hour."""
    first = first_start(TotalSpan.HOUR, RECENT_HOURS, now)
    totals = DeliveryTotal.objects.filter(webhook__in=webhooks, span=TotalSpan.HOUR, starts_at__gte=first)
    lately = totals.filter(webhook__state__failed_at__gt=now - HOUR).order_by().values_list("webhook")
    return lately.annotate(rate=1.0 * Sum("delivered") / Sum(F("delivered") + F("retried") + F("given_up")))


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
        health: Its health in one word.
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


def stats(*, now: datetime, webhooks: ReceiverQuerySet | None = None) -> Stats:
    """Return the figures of these webhooks, or of all.

    Takes at most fifteen queries. Of more than 100 webhooks, those that were served last are returned.
    """
    rows = (Webhook.objects.all() if webhooks is None else webhooks).existing()
    served_last = rows.order_by(F("state__served_at").desc(nulls_last=True), "pk")
    shown = list(served_last.select_related("state").defer(*HEAVY_COLUMNS)[:MAX_WEBHOOKS])
    open_ones = backlog_by_webhook(now=now, webhooks=webhooks)
    keys = [one.pk for one in shown]
    found, months = health_by_webhook(shown, now=now), _of_webhooks(keys, TotalSpan.DAY, DAYS, now=now)
    none = WebhookBacklog(0, None)
    return Stats(
        backlog=backlog(open_ones, now=now, webhooks=webhooks),
        lag=first_attempt_lag(now=now, webhooks=webhooks),
        webhooks=tuple(
            WebhookStats(
                id=one.pk,
                name=one.name,
                organization=one.organization_id,
                state=one.status(now),
                health=found[one.pk].word,
                failures=one.state.failures,
                backlog=own.deliveries,
                due_seconds=seconds_since(own.due_since, now),
                day=found[one.pk].day,
                month=months[one.pk],
            )
            for one in shown
            for own in [open_ones.get(one.pk, none)]
        ),
        left_out=rows.count() - len(shown) if len(shown) == MAX_WEBHOOKS else 0,
        ownerless=OwnerlessObject.objects.count() if webhooks is None else 0,
    )


def first_attempt_lag(*, now: datetime, webhooks: ReceiverQuerySet | None = None) -> FirstAttemptLag:
    """Return the lag of these webhooks, or of all, in one query."""
    first = first_start(TotalSpan.HOUR, RECENT_HOURS, now)
    rows = DeliveryTotal.objects.filter(span=TotalSpan.HOUR, starts_at__gte=first, webhook__deleted_at__isnull=True)
    counts = [*of_webhooks(rows, webhooks).aggregate(**{name: Sum(name, default=0) for name in LAGS}).values()]
    # The last bucket has no width: its lags count as its lower limit.
    limits = (*LAG_LIMITS_MS, LAG_LIMITS_MS[-1])
    p50, p95 = (percentile(counts, share, limits=limits) for share in (0.5, 0.95))
    return FirstAttemptLag(
        starts_at=first,
        deliveries=sum(counts),
        p50=None if p50 is None else p50 / 1000,
        p95=None if p95 is None else p95 / 1000,
    )
