"""Taking deliveries to send: what is due, fairly over the webhooks, under a lease."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connections, router, transaction
from django.db.models import Count, Exists, F, OuterRef, Q

from tms_webhooks.choices import DeliveryStatus
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


def claim(
    *, token: str, now: datetime, until: datetime, room: int, appetite: Appetite = lambda _webhook_id, cap: cap
) -> list[Parcel]:
    """Lease up to ``room`` deliveries to the holder of ``token`` until ``until``.

    Webhooks that have as many in flight as they may are left out, whoever sends to them; of the others the least
    recently served come first. The rows of a worker that died are due when its lease is over.
    """
    if room <= 0 or not _due(now, token).exists():
        return []
    candidates = _webhooks_with_work(now, token=token, limit=room, appetite=appetite)
    if not candidates:
        return []
    with transaction.atomic(using=router.db_for_write(Delivery)):
        # Locked, so that two workers can't each fill a webhook's cap; what another worker has locked, it serves.
        locked = Webhook.objects.filter(pk__in=candidates).select_for_update(skip_locked=True)
        caps = dict(locked.values_list("pk", "max_in_flight"))
        places = {pk: place for pk, place in _places(caps, now, token=token, appetite=appetite).items() if place.free > 0}
        chosen = sorted(places, key=candidates.index)
        ids = _next_of_each(chosen, places=places, now=now, token=token, limit=room)
        if not ids:
            return []
        Delivery.objects.among(ids).claim(token=token, now=now, until=until)
        Webhook.objects.filter(pk__in=chosen).update(served_at=now)
    return pack(ids, token=token, now=now, caps={pk: place.cap for pk, place in places.items()})


def next_due_at() -> datetime | None:
    """Return when the next delivery of all comes due, or None where nothing waits."""
    return Delivery.objects.open().order_by("due_at").values_list("due_at", flat=True).first()


def _due(now: datetime, token: str) -> DeliveryQuerySet:
    # Its own rows that have run out are still in the worker's hands: claiming them again would send them twice.
    return Delivery.objects.due(now).exclude(lease=token)


def _webhooks_with_work(now: datetime, *, token: str, limit: int, appetite: Appetite) -> list[int]:
    flying = _in_flight(now, token=token)
    known = dict(Webhook.objects.filter(pk__in=flying).values_list("pk", "max_in_flight")) if flying else {}
    full = [pk for pk, place in _places(known, now, token=token, appetite=appetite, flying=flying).items() if place.free <= 0]
    due = Exists(_due(now, token).filter(webhook=OuterRef("pk")))
    waiting = Webhook.objects.enabled().filter(due).exclude(pk__in=full)
    return list(waiting.order_by(F("served_at").asc(nulls_first=True), "pk").values_list("pk", flat=True)[:limit])


def _in_flight(now: datetime, *, token: str) -> dict[int, tuple[int, int]]:
    """Return, for each webhook with deliveries under a live lease, how many this worker holds and how many others."""
    held = Delivery.objects.filter(status=DeliveryStatus.IN_FLIGHT, due_at__gt=now).order_by()
    counts = held.values("webhook").annotate(all=Count("pk"), mine=Count("pk", filter=Q(lease=token)))
    return {row["webhook"]: (row["mine"], row["all"] - row["mine"]) for row in counts}


def _places(
    caps: Mapping[int, int | None],
    now: datetime,
    *,
    token: str,
    appetite: Appetite,
    flying: Mapping[int, tuple[int, int]] | None = None,
) -> dict[int, Place]:
    if flying is None:
        flying = _in_flight(now, token=token)
    places = {}
    for pk, most in caps.items():
        mine, others = flying.get(pk, (0, 0))
        cap = (most or app_settings.MAX_IN_FLIGHT) - others
        places[pk] = Place(cap=cap, free=appetite(pk, cap) - mine if cap > 0 else 0)
    return places


def _next_of_each(
    webhooks: Sequence[int], *, places: Mapping[int, Place], now: datetime, token: str, limit: int
) -> list[int]:
    """Return the oldest due deliveries of each webhook: one range of the index ``tms_delivery_claim`` for each."""
    if not webhooks:
        return []
    connection = connections[router.db_for_write(Delivery)]
    table = connection.ops.quote_name(Delivery._meta.db_table)
    moment = connection.ops.adapt_datetimefield_value(now)
    # A union, because no database has a limit per group that stops at the index; nested, because SQLite wants it so.
    one = (
        f"SELECT id FROM (SELECT id FROM {table} WHERE webhook_id = %s AND due_at <= %s AND lease <> %s"  # noqa: S608
        " ORDER BY due_at LIMIT %s) d"
    )
    params = [value for pk in webhooks for value in (pk, moment, token, places[pk].free)]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join([one] * len(webhooks)), params)
        return [row[0] for row in cursor.fetchall()][:limit]
