"""Taking deliveries to send: what is due, fairly over the webhooks, under a lease."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connections, router, transaction
from django.db.models import Count, Exists, F, OuterRef

from tms_webhooks.choices import DeliveryStatus, ErrorClass
from tms_webhooks.conf import app_settings
from tms_webhooks.exceptions import DeliveryError, SecretError
from tms_webhooks.models import Delivery, Webhook
from tms_webhooks.models.encryption import reveal
from tms_webhooks.validators import parse_headers


@dataclass(frozen=True, slots=True)
class Parcel:
    """All that a sender thread needs of one delivery, so that it never touches the database.

    ``problem`` says why it can't be sent at all; its secrets and headers are empty then. ``repr`` shows neither.
    """

    delivery_id: int
    webhook_id: int
    event_id: str
    number: int
    charged: int
    created_at: datetime
    verb: str
    url: str
    headers: Mapping[str, str]
    secrets: Sequence[str]
    body: bytes
    timeout: float
    schedule: Any
    max_retries: int | None
    problem: DeliveryError | None = None

    def __repr__(self) -> str:
        return f"<Parcel {self.event_id} delivery {self.delivery_id} webhook {self.webhook_id} attempt {self.number}>"


def claim(*, token: str, now: datetime, until: datetime, room: int) -> list[Parcel]:
    """Lease up to ``room`` deliveries to the holder of ``token`` until ``until``.

    Webhooks that have as many in flight as they may are left out, whoever sends to them; of the others the least
    recently served come first. The rows of a worker that died are due when its lease is over.
    """
    if room <= 0 or not Delivery.objects.due(now).exclude(lease=token).exists():
        return []
    candidates = _webhooks_with_work(now, token=token, limit=room)
    if not candidates:
        return []
    with transaction.atomic(using=router.db_for_write(Delivery)):
        # Locked, so that two workers can't each fill a webhook's cap; what another worker has locked, it serves.
        webhooks = list(Webhook.objects.filter(pk__in=candidates).select_for_update(skip_locked=True))
        free = _free_places(webhooks, now)
        ids = _next_of_each(sorted(free, key=candidates.index), free=free, now=now, token=token, limit=room)
        leased = Delivery.objects.filter(pk__in=ids).claim(token=token, now=now, until=until)
        Webhook.objects.filter(pk__in=free).update(served_at=now)
    return _parcels(ids, token=token, now=now) if leased else []


def next_due_at() -> datetime | None:
    """Return when the next delivery of all comes due, or None where nothing waits."""
    return Delivery.objects.open().order_by("due_at").values_list("due_at", flat=True).first()


def _webhooks_with_work(now: datetime, *, token: str, limit: int) -> list[int]:
    due = Delivery.objects.due(now).exclude(lease=token).filter(webhook=OuterRef("pk"))
    waiting = Webhook.objects.enabled().filter(Exists(due)).exclude(pk__in=_full(now))
    return list(waiting.order_by(F("served_at").asc(nulls_first=True), "pk").values_list("pk", flat=True)[:limit])


def _in_flight(now: datetime) -> dict[int, int]:
    held = Delivery.objects.filter(status=DeliveryStatus.IN_FLIGHT, due_at__gt=now).order_by()
    return dict(held.values_list("webhook").annotate(Count("pk")))


def _cap(most: int | None) -> int:
    return most or app_settings.MAX_IN_FLIGHT


def _full(now: datetime) -> list[int]:
    flying = _in_flight(now)
    caps = Webhook.objects.filter(pk__in=flying).values_list("pk", "max_in_flight")
    return [pk for pk, most in caps if flying[pk] >= _cap(most)]


def _free_places(webhooks: Sequence[Webhook], now: datetime) -> dict[int, int]:
    flying = _in_flight(now)
    places = {webhook.pk: _cap(webhook.max_in_flight) - flying.get(webhook.pk, 0) for webhook in webhooks}
    return {pk: count for pk, count in places.items() if count > 0}


def _next_of_each(
    webhooks: Sequence[int], *, free: Mapping[int, int], now: datetime, token: str, limit: int
) -> list[int]:
    """Return the oldest due deliveries of each webhook: one index range of ``tms_delivery_claim`` for each of them."""
    if not webhooks:
        return []
    connection = connections[router.db_for_write(Delivery)]
    table = connection.ops.quote_name(Delivery._meta.db_table)
    moment = connection.ops.adapt_datetimefield_value(now)
    # A union, because no database has a limit per group that stops at the index; nested, because SQLite wants it so.
    one = f"SELECT id FROM (SELECT id FROM {table} WHERE webhook_id = %s AND due_at <= %s AND lease <> %s ORDER BY due_at LIMIT %s) d"  # noqa: S608
    params = [value for pk in webhooks for value in (pk, moment, token, free[pk])]
    with connection.cursor() as cursor:
        cursor.execute(" UNION ALL ".join([one] * len(webhooks)), params)
        return [row[0] for row in cursor.fetchall()][:limit]


def _parcels(ids: Sequence[int], *, token: str, now: datetime) -> list[Parcel]:
    rows = Delivery.objects.held(token).filter(pk__in=ids).select_related("event").prefetch_related("webhook__secrets")
    private: dict[int, tuple[Mapping[str, str], Sequence[str], DeliveryError | None]] = {}
    parcels = []
    for delivery in rows:
        webhook = delivery.webhook
        if webhook.pk not in private:
            private[webhook.pk] = _private_parts(webhook, now)
        headers, secrets, problem = private[webhook.pk]
        parcels.append(
            Parcel(
                delivery_id=delivery.pk,
                webhook_id=webhook.pk,
                event_id=delivery.event.public_id,
                number=delivery.attempts + 1,
                charged=delivery.charged,
                created_at=delivery.created_at,
                verb=webhook.verb,
                url=webhook.url,
                headers=headers,
                secrets=secrets,
                body=delivery.event.body.encode(),
                timeout=float(webhook.timeout_seconds),
                schedule=webhook.schedule,
                max_retries=webhook.max_retries,
                problem=problem,
            )
        )
    return parcels


def _private_parts(webhook: Webhook, now: datetime) -> tuple[Mapping[str, str], Sequence[str], DeliveryError | None]:
    try:
        return parse_headers(reveal(webhook.headers)), webhook.signing_secrets(now), None
    except SecretError as error:
        return {}, (), DeliveryError(str(error), error_class=ErrorClass.SECRET_UNREADABLE, permanent=True)
