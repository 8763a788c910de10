"""Taking deliveries to send: what is due, fairly over the webhooks, under a lease."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connections, router, transaction

from tms_webhooks.choices import Lane
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery.parcels import Parcel, pack
from tms_webhooks.models import Delivery, Webhook
from tms_webhooks.models.delivery import DeliveryQuerySet

__all__ = ["Parcel", "claim", "next_due_at"]

# How many deliveries of a webhook a worker holds at most, given how many it may send at once.
Appetite = Callable[[int, int], int]


@dataclass(frozen=True, slots=True)
class Place:
    """What a worker may do for one webhook: send ``cap`` at once, and take ``free`` more."""

    cap: int
    free: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What a webhook allows of itself at a moment: so many at once, and so many tokens of its rate, if it has one."""

    at_once: int
    tokens: float | None
    probing: bool

    @classmethod
    def of(cls, webhook: Webhook, now: datetime) -> Limits:
        """Read them off a row. A webhook that comes out of a pause gets one request, to see how it is."""
        probing = webhook.failures >= app_settings.PAUSE_AFTER
        at_once = 1 if probing or webhook.ordered else webhook.max_in_flight or app_settings.MAX_IN_FLIGHT
        return cls(at_once, _tokens(webhook, now), probing)

    def place(self, webhook_id: int, *, mine: int, others: int, appetite: Appetite, ahead: bool) -> Place:
        """Return the place for one worker that holds ``mine``, while the others hold ``others``."""
        cap = self.at_once - others
        if cap <= 0:
            return Place(cap=0, free=0)
        free = (appetite(webhook_id, cap) if ahead and not self.probing else cap) - mine
        return Place(cap=cap, free=free if self.tokens is None else min(free, int(self.tokens)))


def claim(
    *, token: str, now: datetime, until: datetime, room: int, appetite: Appetite = lambda _webhook_id, cap: cap
) -> list[Parcel]:
    """Lease up to ``room`` deliveries to the holder of ``token`` until ``until``.

    Webhooks that have as many in flight as they may, are paused, or have used up their rate are left out, whoever
    sends to them; of the others the least recently served come first. The rows of a worker that died are due when its
    lease is over.
    """
    if room <= 0 or not _due(now, token).exists():
        return []
    candidates = _webhooks_with_work(now, token=token, limit=room, appetite=appetite)
    if not candidates:
        return []
    with transaction.atomic(using=router.db_for_write(Delivery)):
        # Locked, so that two workers can't each fill a webhook's cap; what another worker has locked, it serves.
        locked = Webhook.objects.filter(pk__in=candidates).select_for_update(skip_locked=True)
        webhooks = {webhook.pk: webhook for webhook in locked.only(*LIMITING)}
        places = _places(webhooks.values(), now, flying=_in_flight(now, token=token), appetite=appetite)
        chosen = [webhooks[pk] for pk in candidates if pk in places and places[pk].free > 0]
        found = _next_of_each(chosen, places=places, now=now, token=token, limit=room)
        if not found:
            return []
        ids = [pk for pk, _webhook_id in found]
        Delivery.objects.among(ids).claim(token=token, now=now, until=until)
        Webhook.objects.filter(pk__in=[webhook.pk for webhook in chosen]).update(served_at=now)
        _spend(webhooks, Counter(webhook_id for _pk, webhook_id in found), now=now)
    return pack(ids, token=token, now=now, caps={pk: place.cap for pk, place in places.items()})


def next_due_at(now: datetime) -> datetime | None:
    """Return when the next delivery comes due that was not due at ``now``, or None where nothing waits."""
    later = Delivery.objects.filter(due_at__gt=now).order_by("due_at")
    return later.values_list("due_at", flat=True).first()


LIMITING = (
    "enabled",
    "deleted_at",
    "paused_until",
    "max_in_flight",
    "ordered",
    "failures",
    "rate_limit_per_second",
    "tokens",
    "tokens_at",
)


def _due(now: datetime, token: str) -> DeliveryQuerySet:
    # Its own rows that have run out are still in the worker's hands: claiming them again would send them twice.
    return Delivery.objects.due(now).exclude(lease=token)


# What is resent by hand (lane 0) goes out also where everything else has to wait.
WITH_WORK = """
SELECT w.id FROM {webhook} w
WHERE w.deleted_at IS NULL AND w.id NOT IN ({full}) AND (
  w.enabled AND (w.paused_until IS NULL OR w.paused_until <= %s) AND EXISTS (
    SELECT 1 FROM {delivery} d WHERE d.webhook_id = w.id AND d.lane IN (1, 2) AND d.due_at <= %s AND d.lease <> %s)
  OR EXISTS (SELECT 1 FROM {delivery} d WHERE d.webhook_id = w.id AND d.lane = 0 AND d.due_at <= %s AND d.lease <> %s))
ORDER BY w.served_at IS NOT NULL, w.served_at, w.id
LIMIT %s
"""
IN_FLIGHT = """
SELECT webhook_id, COUNT(*), SUM(CASE WHEN lease = %s THEN 1 ELSE 0 END) FROM {delivery}
WHERE status = 'in_flight' AND due_at > %s GROUP BY webhook_id
"""


def _webhooks_with_work(now: datetime, *, token: str, limit: int, appetite: Appetite) -> list[int]:
    flying = _in_flight(now, token=token)
    busy = Webhook.objects.filter(pk__in=flying).only(*LIMITING) if flying else ()
    full = [pk for pk, place in _places(busy, now, flying=flying, appetite=appetite).items() if place.free <= 0]
    moment = _moment(now)
    params = [moment, moment, token, moment, token, limit]
    return [row[0] for row in _rows(WITH_WORK, params, full=", ".join(map(str, full)) or "0")]


def _in_flight(now: datetime, *, token: str) -> dict[int, tuple[int, int]]:
    """Return, for each webhook with deliveries under a live lease, how many this worker holds and how many others."""
    rows = _rows(IN_FLIGHT, [token, _moment(now)])
    return {webhook_id: (int(mine), int(count - mine)) for webhook_id, count, mine in rows}


def _moment(now: datetime) -> Any:
    return connections[router.db_for_write(Delivery)].ops.adapt_datetimefield_value(now)


def _rows(sql: str, params: Sequence[Any], **parts: str) -> list[tuple[Any, ...]]:
    """Run one of the statements above. They are the busiest of all: built by the ORM they take longer than they run."""
    connection = connections[router.db_for_write(Delivery)]
    quote = connection.ops.quote_name
    tables = {"webhook": quote(Webhook._meta.db_table), "delivery": quote(Delivery._meta.db_table)}
    with connection.cursor() as cursor:
        cursor.execute(sql.format(**tables, **parts), params)
        found: list[tuple[Any, ...]] = cursor.fetchall()
    return found


def _places(
    webhooks: Iterable[Webhook], now: datetime, *, flying: Mapping[int, tuple[int, int]], appetite: Appetite
) -> dict[int, Place]:
    places = {}
    for webhook in webhooks:
        mine, others = flying.get(webhook.pk, (0, 0))
        limits = Limits.of(webhook, now)
        places[webhook.pk] = limits.place(
            webhook.pk, mine=mine, others=others, appetite=appetite, ahead=not webhook.ordered
        )
    return places


def _tokens(webhook: Webhook, now: datetime) -> float | None:
    """Return how many requests the webhook's rate allows now: a second's worth at most, and at least one at a time."""
    rate = webhook.rate_limit_per_second
    if rate is None:
        return None
    most = max(1.0, rate)
    if webhook.tokens_at is None:
        return most
    return min(most, webhook.tokens + rate * max(0.0, (now - webhook.tokens_at).total_seconds()))


def _spend(webhooks: Mapping[int, Webhook], taken: Mapping[int, int], *, now: datetime) -> None:
    for pk, count in taken.items():
        tokens = _tokens(webhooks[pk], now)
        if tokens is not None:
            Webhook.objects.filter(pk=pk).update(tokens=tokens - count, tokens_at=now)


def _next_of_each(
    webhooks: Sequence[Webhook], *, places: Mapping[int, Place], now: datetime, token: str, limit: int
) -> list[tuple[int, int]]:
    """Return (delivery, webhook) of the oldest due: one range of the index ``tms_delivery_claim`` for each webhook.

    What is replayed goes one at a time, and only where less that is live is due than there is place for.
    """
    if not webhooks:
        return []
    # A union, because no database has a limit per group that stops at the index; nested, because SQLite wants it so.
    one = (
        "SELECT id, webhook_id, lane FROM (SELECT id, webhook_id, lane FROM {delivery} d WHERE webhook_id = %s"
        " AND lane = %s AND due_at <= %s AND lease <> %s{in_order} ORDER BY due_at, id LIMIT %s) u"
    )
    first = (
        " AND NOT EXISTS (SELECT 1 FROM {delivery} o WHERE o.webhook_id = d.webhook_id AND o.order_key = d.order_key"
        " AND o.due_at IS NOT NULL AND o.event_id < d.event_id)"
    )
    parts, params = [], []
    for webhook in webhooks:
        free = places[webhook.pk].free
        lanes = {Lane.BY_HAND: free, Lane.LIVE: free, Lane.REPLAY: 1} if webhook.is_awake(now) else {Lane.BY_HAND: free}
        for lane, most in lanes.items():
            parts.append(one.replace("{in_order}", first if webhook.ordered else ""))
            params += [webhook.pk, lane.value, _moment(now), token, most]
    rows = sorted(_rows(" UNION ALL ".join(parts), params), key=lambda row: row[2])
    taken: Counter[int] = Counter()
    found = []
    for pk, webhook_id, _lane in rows:
        if taken[webhook_id] < places[webhook_id].free:
            taken[webhook_id] += 1
            found.append((pk, webhook_id))
    return found[:limit]
