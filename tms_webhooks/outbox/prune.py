"""Deletes rows whose retention time is over, in small transactions.

Each rule reads an index from the oldest row on. Payloads are blanked from where the last run stopped (`PruneCursor`), so
blank ones are not read again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from django.db import models, router
from django.db.models import Exists, F, OuterRef, Q

from tms_webhooks.batches import Batches, Stop, never, run_alternately
from tms_webhooks.choices import TotalSpan
from tms_webhooks.conf import app_settings
from tms_webhooks.db.django_private import delete_without_signals
from tms_webhooks.db.sql import KeyIn, brief_write, key_in, numbers
from tms_webhooks.models import (
    AuditEntry,
    Delivery,
    DeliveryAttempt,
    DeliveryBody,
    DeliveryTotal,
    Event,
    FanOutFailure,
    FeedEnds,
    IdempotentRequest,
    KeptPayload,
    Notification,
    Occurrence,
    PruneCursor,
)

# Rows that pruning removes in one transaction.
PRUNE_BATCH = 1_000
# The key of the one `PruneCursor`, and its position before the first run.
ONLY_CURSOR = 1
BEGINNING = (datetime(2000, 1, 1, tzinfo=UTC), 0)
# How long the totals of hours are kept.
KEEP_HOURS = timedelta(days=8)
# How long the entries of the audit log are kept.
KEEP_AUDIT = timedelta(days=730)


def prune(now: datetime, *, stop: Stop = never) -> Counter[str]:
    """Blank old payloads of every format, and delete rows that are older than their retention settings allow.

    Return the number of rows that each of the `rules` affected. Attempts are those that are too old themselves: others are
    deleted with their events.

    It deletes attempts, events with their deliveries, occurrences, totals of hours, notifications, and audit entries after
    two years. It also deletes responses of the API for idempotency keys that may be used again. Kept are:

    - rows that an open delivery needs, however old they are, and rows that another transaction has locked
    - sequence numbers, and the totals of days
    - an occurrence until its deadline is as old as the deleted events; without a deadline for ever

    For ``stop`` see `run_alternately`: the rules share the time.
    """
    return Counter(run_alternately(rules(now), stop=stop).rows)


def rules(now: datetime) -> dict[str, Batches]:
    """Return the work of each retention rule, by its name. A batch changes up to PRUNE_BATCH rows of a table."""
    payloads, old = _limits(now)[0], _old_rows(now)
    return {
        **{name: _delete(rows) for name, rows in old.items()},
        "payloads": chain(_blank_kept_payloads(payloads), _blank_next_payloads(payloads)),
        "events": _delete_events(old["events"]),
    }


def prunable(now: datetime) -> Counter[str]:
    """Return the number of rows that `prune` would affect, without rows that become prunable only by its own deletions."""
    return Counter({name: rows.count() for name, rows in _old_rows(now).items()})


def _limits(now: datetime) -> tuple[datetime, datetime, datetime]:
    """Return the times before which payloads are blanked, and attempts and events are deleted."""
    payloads = now - timedelta(days=app_settings.KEEP_PAYLOADS_DAYS)
    attempts = now - timedelta(days=app_settings.KEEP_ATTEMPTS_DAYS)
    return payloads, attempts, min(payloads, attempts)


def _old_rows(now: datetime) -> dict[str, models.QuerySet[Any]]:
    """Return the rows that each retention rule affects, by its name."""
    payloads, attempts, events = _limits(now)
    not_blank = _settled(_rows(Event).exclude(body="")).filter(occurred_at__lt=payloads)
    position = PruneCursor.objects.values_list("occurred_at", "event_id").first() or BEGINNING
    not_blank = not_blank.filter(_after(position) | Q(pk__in=_rows(KeptPayload).values("pk")))
    still_open = _rows(Delivery).filter(pk=OuterRef("delivery"), due_at__isnull=False)
    settled = _rows(DeliveryAttempt).exclude(Exists(still_open))
    hours = _rows(DeliveryTotal).filter(span=TotalSpan.HOUR, starts_at__lt=now - KEEP_HOURS)
    answers = IdempotentRequest.objects.outdated(now)
    return {
        "payloads": not_blank,
        "attempts": settled.filter(started_at__lt=attempts).order_by("started_at", "pk"),
        "events": _settled(_rows(Event)).filter(occurred_at__lt=events).order_by("occurred_at", "pk"),
        "occurrences": _rows(Occurrence).filter(deadline__lt=events).order_by("deadline", "pk"),
        "hours": hours.order_by("starts_at", "pk"),
        "answers": answers.order_by("created_at", "pk"),
        "notifications": _rows(Notification).filter(created_at__lt=attempts).order_by("created_at", "pk"),
        "audit": _rows(AuditEntry).filter(at__lt=now - KEEP_AUDIT).order_by("at", "pk"),
    }


def _rows(model: type[models.Model]) -> models.QuerySet[Any]:
    return model._base_manager.using(router.db_for_write(model))


def _settled(events: models.QuerySet[Event]) -> models.QuerySet[Event]:
    """Keep the events that have their deliveries, none of which is open."""
    still_open = _rows(Delivery).filter(event=OuterRef("pk"), due_at__isnull=False)
    return events.filter(fanned_out_at__isnull=False).exclude(Exists(still_open))


def _blank_kept_payloads(limit: datetime) -> Batches:
    """Blank those payloads that were needed when the cursor passed them, and no longer are."""
    last = 0
    kept = KeptPayload.objects.order_by("pk").values_list("pk", flat=True)
    while noted := list(kept.filter(pk__gt=last)[:PRUNE_BATCH]):
        last = noted[-1]
        not_blank = _rows(Event).filter(key_in(noted)).exclude(body="")
        yield from _delete_bodies_of(_settled(not_blank).filter(occurred_at__lt=limit))
        with brief_write(durable=False):
            blanked = _blank(_settled(not_blank).filter(occurred_at__lt=limit))
            KeptPayload.objects.filter(key_in(noted)).exclude(
                pk__in=list(not_blank.values_list("pk", flat=True))
            ).delete()
        yield blanked


def _blank_next_payloads(limit: datetime) -> Batches:
    """Blank the payloads from the cursor on. A run that another one overtakes leaves the rest to that."""
    cursor = PruneCursor.objects.get_or_create(
        pk=ONLY_CURSOR, defaults={"occurred_at": BEGINNING[0], "event_id": BEGINNING[1]}
    )[0]
    older = _rows(Event).filter(occurred_at__lt=limit).order_by("occurred_at", "pk").values_list("occurred_at", "pk")
    while found := list(older.filter(_after((cursor.occurred_at, cursor.event_id)))[:PRUNE_BATCH]):
        not_blank = _rows(Event).filter(key_in(pk for _moment, pk in found)).exclude(body="")
        yield from _delete_bodies_of(_settled(not_blank))
        here = PruneCursor.objects.filter(occurred_at=cursor.occurred_at, event_id=cursor.event_id)
        cursor.occurred_at, cursor.event_id = found[-1]
        with brief_write(durable=False):
            # First: the row stays locked until the batch is committed.
            if not here.update(occurred_at=cursor.occurred_at, event_id=cursor.event_id):
                return
            blanked = _blank(_settled(not_blank))
            needed = not_blank.values_list("pk", flat=True)
            KeptPayload.objects.bulk_create((KeptPayload(pk) for pk in needed), ignore_conflicts=True)
        yield blanked


def _blank(events: models.QuerySet[Event]) -> int:
    keys = _take(events)
    return _rows(Event).filter(key_in(keys)).update(body="", subject_name="", searched_name="") if keys else 0


def _delete_bodies_of(events: models.QuerySet[Event]) -> Batches:
    """Delete the bodies in the formats of webhooks, which a resend before the next step would render again."""
    deliveries = _rows(Delivery).filter(KeyIn(F("event"), numbers(events.values_list("pk", flat=True))))
    for _deleted in _delete(_rows(DeliveryBody).filter(delivery__in=deliveries.values("pk"))):
        yield 0


def _delete_events(events: models.QuerySet[Event]) -> Batches:
    """Delete events with the rows that refer to them, those first: after a crash the next run finds the rest."""
    deliveries = _rows(Delivery).filter(event=OuterRef("pk"))
    while settled := list(events.values_list("pk", flat=True)[:PRUNE_BATCH]):
        yield from _delete_deliveries_of(settled)
        with brief_write(durable=False):
            # Without those that a user has just sent again, or that another transaction has locked.
            keys = _take(_rows(Event).filter(key_in(settled)).exclude(Exists(deliveries)))
            # The feed refuses cursors before their end. Not MAX: PostgreSQL would look for it from the end of the feed.
            positioned = _rows(Event).filter(key_in(keys), position__isnull=False)
            if positions := positioned.values_list("position", flat=True):
                forgotten = max(positions)
                FeedEnds.objects.filter(forgotten__lt=forgotten).update(forgotten=forgotten)
            FanOutFailure.objects.filter(key_in(keys)).delete()
            deleted = _delete_keys(Event, keys)
        if not deleted:
            return
        yield deleted


def _delete_deliveries_of(events: Collection[int]) -> Batches:
    """Delete the finished deliveries of these events, each after its attempts and its body."""
    finished = _rows(Delivery).filter(KeyIn(F("event"), numbers(events)), due_at__isnull=True)
    while keys := list(finished.values_list("pk", flat=True)[:PRUNE_BATCH]):
        for model in (DeliveryAttempt, DeliveryBody):
            for _deleted in _delete(_rows(model).filter(KeyIn(F("delivery"), numbers(keys)))):
                yield 0
        with brief_write(durable=False):
            keys = _take(finished.filter(key_in(keys)))
            _delete_keys(Delivery, keys)
        if not keys:
            # Other transactions have locked all of them, such as one that sends them again.
            return
        yield 0


def _delete(rows: models.QuerySet[Any]) -> Batches:
    """Delete rows in their order, without those that another transaction has locked."""
    while rows.exists():
        with brief_write(durable=False):
            deleted = _delete_keys(rows.model, _take(rows))
        if not deleted:
            return
        yield deleted


def _delete_keys(model: type[models.Model], keys: Sequence[int] | models.QuerySet[Any, int]) -> int:
    # No rows refer to these any more, so Django need not search for them.
    return delete_without_signals(_rows(model).filter(key_in(keys)))


def _take(rows: models.QuerySet[Any]) -> list[int]:
    """Lock the first rows that are not locked: waiting with many locks would make other transactions wait."""
    return list(rows.select_for_update(skip_locked=True).values_list("pk", flat=True)[:PRUNE_BATCH])


def _after(position: tuple[datetime, int]) -> Q:
    """Return a filter for the events after a position. The first condition is implied; databases use an index for it."""
    moment, key = position
    return Q(occurred_at__gte=moment) & (Q(occurred_at__gt=moment) | Q(pk__gt=key))
