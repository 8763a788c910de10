"""Deletes rows whose retention time is over, in small transactions."""

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

# How long the totals of hours are kept.
KEEP_HOURS = timedelta(days=8)

Stop: TypeAlias = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Pruned:
    """The number of rows that each retention rule affects."""

    payloads: int
    attempts: int
    events: int
    occurrences: int
    hours: int = 0
    answers: int = 0


def prune(now: datetime, *, stop: Stop = lambda: False) -> Pruned:
    """Blank old payloads of every format, and delete rows that are older than their retention settings allow.

    Deleted are attempts, events with their deliveries, occurrences, totals of hours, and responses of the API that are
    kept for idempotency keys which may be used again. Kept are:

    - rows that an open delivery needs, however old they are, and rows that another transaction has locked
    - sequence numbers, and the totals of days
    - an occurrence until its deadline is as old as the deleted events; without a deadline for ever

    ``stop`` is called after each batch and returns whether to leave the rest to the next run.
    """
    rows = _Prunable.at(now)
    return Pruned(
        payloads=_blank(rows.payloads, stop=stop),
        attempts=_delete(rows.attempts, stop=stop),
        events=_delete_events(rows.events, stop=stop),
        occurrences=_delete(rows.occurrences, stop=stop),
        hours=_delete(rows.hours, stop=stop),
        answers=_delete(rows.answers, stop=stop),
    )


def prunable(now: datetime) -> Pruned:
    """Return the number of rows that `prune` would affect, without rows that become prunable only by its own deletions."""
    rows = _Prunable.at(now)
    return Pruned(
        payloads=rows.payloads.exclude(body="").count(),
        attempts=rows.attempts.count(),
        events=rows.events.count(),
        occurrences=rows.occurrences.count(),
        hours=rows.hours.count(),
        answers=rows.answers.count(),
    )


@dataclass(frozen=True, slots=True)
class _Prunable:
    """The rows that each retention rule affects."""

    payloads: models.QuerySet[Event]
    attempts: models.QuerySet[DeliveryAttempt]
    events: models.QuerySet[Event]
    occurrences: models.QuerySet[Occurrence]
    hours: models.QuerySet[DeliveryTotal]
    answers: models.QuerySet[IdempotentRequest]

    @classmethod
    def at(cls, now: datetime) -> _Prunable:
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
    """Delete events with the rows that refer to them, those first: after a crash the next run finds the rest."""
    total = 0
    deliveries = _rows(Delivery).filter(event=OuterRef("pk"))
    while not stop() and (keys := _first(events)):
        closed = _rows(Delivery).filter(event__in=keys, due_at__isnull=True)
        _delete(_rows(DeliveryAttempt).filter(delivery__in=closed.values("pk")))
        _delete(_rows(DeliveryBody).filter(delivery__in=closed.values("pk")))
        _delete(closed)
        _announce_to_feed(_rows(Event).filter(pk__in=keys))
        deleted = _delete(_rows(Event).filter(pk__in=keys).exclude(Exists(deliveries)))
        if not deleted:
            # Other transactions have locked all of them, such as one that sends them again.
            return total
        total += deleted
    return total


def _announce_to_feed(events: models.QuerySet[Any]) -> None:
    """Mark the end of the deleted events before they are deleted, so that the feed refuses cursors before it."""
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
            # No rows refer to these any more, so Django need not search for them.
            total += delete_without_signals(_rows(rows.model).filter(pk__in=keys))
    return total


def _take(rows: models.QuerySet[Any]) -> list[int]:
    """Lock the first rows that are not locked: waiting with so many locks would make other transactions wait."""
    return _first(rows.select_for_update(skip_locked=True))


def _first(rows: models.QuerySet[Any]) -> list[int]:
    return list(rows.order_by("pk").values_list("pk", flat=True)[: app_settings.PRUNE_BATCH])
