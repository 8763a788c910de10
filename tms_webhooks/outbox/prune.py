"""Forgetting what was kept long enough, in small transactions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import models

from tms_webhooks.conf import app_settings
from tms_webhooks.models import Delivery, DeliveryAttempt, Event, Occurrence


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows each rule of retention touched."""

    payloads: int
    attempts: int
    events: int
    occurrences: int


def prune(now: datetime) -> Pruned:
    """Blank old payloads, and delete old attempts, events with their deliveries, and marks of what was told.

    What a delivery that is still open needs is left alone, however old it is.
    """
    payload_limit = now - timedelta(days=app_settings.KEEP_PAYLOADS_DAYS)
    limit = now - timedelta(days=max(app_settings.KEEP_ATTEMPTS_DAYS, app_settings.KEEP_PAYLOADS_DAYS))
    needed = models.Exists(Delivery.objects.open().filter(event=models.OuterRef("pk")))
    settled = Event.objects.filter(fanned_out_at__isnull=False).exclude(needed)
    return Pruned(
        payloads=_blank(settled.filter(occurred_at__lt=payload_limit).exclude(body="")),
        attempts=_delete(DeliveryAttempt.objects.filter(started_at__lt=limit)),
        events=_delete_events(settled.filter(occurred_at__lt=limit)),
        occurrences=_delete(Occurrence.objects.filter(told_at__lt=limit, key__startswith="lock:")),
    )


def _blank(events: models.QuerySet[Event]) -> int:
    total = 0
    while ids := _next(events):
        total += Event.objects.filter(pk__in=ids).update(body="")
    return total


def _delete_events(events: models.QuerySet[Event]) -> int:
    total = 0
    while ids := _next(events):
        deliveries = Delivery.objects.filter(event_id__in=ids)
        _delete(DeliveryAttempt.objects.filter(delivery__in=list(deliveries.values_list("pk", flat=True))))
        deliveries._raw_delete(deliveries.db)
        found = Event.objects.filter(pk__in=ids)
        total += found._raw_delete(found.db)
    return total


def _delete(rows: models.QuerySet[models.Model]) -> int:
    total = 0
    while ids := _next(rows):
        found = rows.model._base_manager.filter(pk__in=ids)
        total += found._raw_delete(found.db)
    return total


def _next(rows: models.QuerySet[models.Model]) -> list[int]:
    return list(rows.order_by("pk").values_list("pk", flat=True)[: app_settings.PRUNE_BATCH])
