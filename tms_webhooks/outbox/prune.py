"""Forgetting what was kept long enough, in small transactions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from django.db import models, router, transaction
from django.db.models import Exists, Max, OuterRef

from tms_webhooks.choices import TotalSpan
from tms_webhooks.conf import app_settings
from tms_webhooks.db.django_private import delete_without_signals
from tms_webhooks.models import (
    Delivery,
    DeliveryAttempt,
    DeliveryBody,
    DeliveryTotal,
    Event,
    FeedEnds,
    IdempotentRequest,
    Occurrence,
)

KEEP_HOURS = timedelta(days=8)

Stop: TypeAlias = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows each rule of retention touched."""

    payloads: int
    attempts: int
    events: int
    occurrences: int
    hours: int = 0
    answers: int = 0


def prune(now: datetime, *, stop: Stop = lambda: False) -> Pruned:
    """Blank old payloads in whatever format, and delete old attempts, events with their deliveries, and marks of what was told.

    What a delivery that is still open needs is left alone, however old it is, and so is what somebody works on right
    now. The numbers that events get stay, and so do the totals of days; those of hours go after eight days. A mark is
    kept until its date is as old as the events that are deleted; one without a date stays for ever. Answers that the API
    keeps for their idempotency keys go when their keys may be used anew. ``stop`` is asked
    after each batch whether to leave the rest to the next run.
    """
    old = _Old.at(now)
    return Pruned(
        payloads=_blank(old.payloads, stop=stop),
        attempts=_delete(old.attempts, stop=stop),
        events=_delete_events(old.events, stop=stop),
        occurrences=_delete(old.occurrences, stop=stop),
        hours=_delete(old.hours, stop=stop),
        answers=_delete(old.answers, stop=stop),
    )


def prunable(now: datetime) -> Pruned:
    """Return how many rows `prune` would touch, but for what it makes prunable itself."""
    old = _Old.at(now)
    return Pruned(
        payloads=old.payloads.exclude(body="").count(),
        attempts=old.attempts.count(),
        events=old.events.count(),
        occurrences=old.occurrences.count(),
        hours=old.hours.count(),
        answers=old.answers.count(),
    )


@dataclass(frozen=True, slots=True)
class _Old:
    """What each rule of retention is about."""

    payloads: models.QuerySet[Event]
    attempts: models.QuerySet[DeliveryAttempt]
    events: models.QuerySet[Event]
    occurrences: models.QuerySet[Occurrence]
    hours: models.QuerySet[DeliveryTotal]
    answers: models.QuerySet[IdempotentRequest]

    @classmethod
    def at(cls, now: datetime) -> _Old:
        payload_limit = now - timedelta(days=app_settings.KEEP_PAYLOADS_DAYS)
        attempt_limit = now - timedelta(days=app_settings.KEEP_ATTEMPTS_DAYS)
        event_limit = min(payload_limit, attempt_limit)
        return cls(
            payloads=_settled_events().filter(occurred_at__lt=payload_limit),
            attempts=_settled_attempts().filter(started_at__lt=attempt_limit),
            events=_settled_events().filter(occurred_at__lt=event_limit),
            occurrences=_rows(Occurrence).filter(deadline__lt=event_limit),
            hours=_rows(DeliveryTotal).filter(span=TotalSpan.HOUR, starts_at__lt=now - KEEP_HOURS),
            answers=IdempotentRequest.objects.using(router.db_for_write(IdempotentRequest)).outdated(now),
        )


def _rows(model: type[models.Model]) -> models.QuerySet[Any]:
    return model._base_manager.using(router.db_for_write(model))


def _settled_events() -> models.QuerySet[Event]:
    still_open = _rows(Delivery).filter(event=OuterRef("pk"), due_at__isnull=False)
    return _rows(Event).filter(fanned_out_at__isnull=False).exclude(Exists(still_open))


def _settled_attempts() -> models.QuerySet[DeliveryAttempt]:
    still_open = _rows(Delivery).filter(pk=OuterRef("delivery"), due_at__isnull=False)
    return _rows(DeliveryAttempt).exclude(Exists(still_open))


def _blank(events: models.QuerySet[Event], *, stop: Stop) -> int:
    total = 0
    while not stop():
        with transaction.atomic(using=events.db):
            keys = _take(events.exclude(body=""))
            if not keys:
                break
            total += _rows(Event).filter(pk__in=keys).update(body="")
            _delete(DeliveryBody.objects.using(events.db).of_events(keys))
    return total


def _delete_events(events: models.QuerySet[Event], *, stop: Stop) -> int:
    """Delete events with all that hangs on them, the leaves first: whatever a crash leaves over is found again."""
    total = 0
    deliveries = _rows(Delivery).filter(event=OuterRef("pk"))
    while not stop() and (keys := _first(events)):
        closed = _rows(Delivery).filter(event__in=keys, due_at__isnull=True)
        _delete(_rows(DeliveryAttempt).filter(delivery__in=closed.values("pk")))
        _delete(_rows(DeliveryBody).filter(delivery__in=closed.values("pk")))
        _delete(closed)
        _forget(_rows(Event).filter(pk__in=keys))
        deleted = _delete(_rows(Event).filter(pk__in=keys).exclude(Exists(deliveries)))
        if not deleted:
            # Somebody holds all of them, such as a person who has just sent them again.
            return total
        total += deleted
    return total


def _forget(events: models.QuerySet[Any]) -> None:
    """Tell readers of the feed before the events go, so that nobody reads on where something is missing."""
    last = events.aggregate(last=Max("position"))["last"]
    if last is not None:
        FeedEnds.objects.forget(last)


def _delete(rows: models.QuerySet[Any], *, stop: Stop = lambda: False) -> int:
    total = 0
    while not stop():
        with transaction.atomic(using=rows.db):
            keys = _take(rows)
            if not keys:
                break
            # Nothing refers to these rows any more, so Django need not look for what does.
            total += delete_without_signals(_rows(rows.model).filter(pk__in=keys))
    return total


def _take(rows: models.QuerySet[Any]) -> list[int]:
    """Lock the first rows that nobody holds: waiting for others with so many in hand would stop them, too."""
    return _first(rows.select_for_update(skip_locked=True))


def _first(rows: models.QuerySet[Any]) -> list[int]:
    return list(rows.order_by("pk").values_list("pk", flat=True)[: app_settings.PRUNE_BATCH])
