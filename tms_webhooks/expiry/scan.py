"""The events that time makes: what comes near its date, and what has passed it.

Each scan reads one range of the index on the host's date column, in batches, each in a transaction of its own. A scan
that is cut short, or run twice at once, tells nothing twice: `Occurrence` knows what was told.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from django.db import models, router, transaction
from django.db.models import Q

from tms_webhooks.expiry import windows
from tms_webhooks.models import Occurrence, ScanCursor, Subscription
from tms_webhooks.outbox.record import record_told
from tms_webhooks.sources.base import Source, Told
from tms_webhooks.sources.deadlines import Deadline, expired_key, expiring_key
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.rules import Change
from tms_webhooks.sources.snapshots import read_rows

BATCH = 500

logger = logging.getLogger(__name__)


def scan_all(*, now: datetime) -> int:
    """Run every scan; return how many events were recorded. What goes wrong in one source holds up no other."""
    total = 0
    for source in all_sources():
        if source.deadline is None or source.deadline.field not in source.own:
            continue
        try:
            total += scan_expired(source, source.deadline, now=now)
            for subscription in Subscription.objects.wanting([source.deadline.expiring]).select_related("webhook"):
                total += scan_window(source, source.deadline, subscription, now=now)
        except Exception:
            logger.exception("The expiry scan of %r failed; the next run makes it up.", source)
    return total


def scan_expired(source: Source, deadline: Deadline, *, now: datetime) -> int:
    """Tell of what has passed its date since the last scan. The first scan of all tells nothing: it was long ago."""
    cursor = _cursor(f"expired:{source.model._meta.label_lower}", now=now)
    column = source.own[deadline.field].lookup
    rows = _rows(source).filter(Q(**{f"{column}__gt": cursor.scanned_until, f"{column}__lte": now}))
    total = 0
    for batch in _batches(source, deadline, rows):
        with transaction.atomic(using=_alias(source)):
            for values in batch:
                once = expired_key(deadline.expired, str(values["id"]), values[deadline.field])
                total += _tell(source, Told(deadline.expired, once=once), values, now=now)
    cursor.advance(until=now)
    return total


def scan_window(source: Source, deadline: Deadline, subscription: Subscription, *, now: datetime) -> int:
    """Tell one subscription of what entered its days window, once for each object and date."""
    cursor = _cursor(f"expiring:{subscription.pk}:{source.model._meta.label_lower}", now=now)
    since = min(cursor.scanned_until, now)
    column = source.own[deadline.field].lookup
    low, high = windows.reach(subscription.window, since=since, now=now)
    rows = _rows(source).filter(
        Q(**{f"{column}__gt": low, f"{column}__lt": high}),
        **{str(source.mapped["organization.id"].lookup): subscription.webhook.organization_id},
    )
    total = 0
    for batch in _batches(source, deadline, rows):
        new = _not_told(batch, subscription, deadline)
        with transaction.atomic(using=_alias(source)):
            for key, values in new.items():
                created_at = values.get("created_at")
                if windows.was_inside(
                    values[deadline.field], subscription.window, since=since, now=now, created_at=created_at
                ):
                    told = Told(deadline.expiring, once=key, extra=_window_values(values, deadline, subscription, now))
                    total += _tell(source, told, values, now=now, subscription_id=subscription.pk)
    cursor.advance(until=now)
    return total


def _cursor(key: str, *, now: datetime) -> ScanCursor:
    cursor, _new = ScanCursor.objects.get_or_create(key=key, defaults={"scanned_until": now})
    return cursor


def _alias(source: Source) -> str:
    return router.db_for_write(source.model)


def _rows(source: Source) -> models.QuerySet[Any]:
    return source.model._base_manager.using(_alias(source)).filter(source.open_rows())


def _batches(source: Source, deadline: Deadline, rows: models.QuerySet[Any]) -> Iterator[list[dict[str, Any]]]:
    """Yield canonical values in the order of the date, a batch at a time; ties are told apart by the key."""
    column = str(source.own[deadline.field].lookup)
    last: Q | None = None
    while True:
        page = (rows if last is None else rows.filter(last)).order_by(column, "pk")[:BATCH]
        found = read_rows(source, page)
        if not found:
            return
        yield [source.canonical(raw) for _pk, raw in found]
        pk, raw = found[-1]
        last = Q(**{f"{column}__gt": raw[deadline.field]}) | Q(**{column: raw[deadline.field], "pk__gt": pk})


def _not_told(
    batch: list[dict[str, Any]], subscription: Subscription, deadline: Deadline
) -> dict[str, dict[str, Any]]:
    by_key = {
        expiring_key(subscription.pk, str(values["id"]), values[deadline.field]): values for values in batch
    }
    told = set(Occurrence.objects.filter(key__in=by_key).values_list("key", flat=True))
    return {key: values for key, values in by_key.items() if key not in told}


def _window_values(
    values: Mapping[str, Any], deadline: Deadline, subscription: Subscription, now: datetime
) -> dict[str, float]:
    more, less = subscription.window
    return {
        "days_left": windows.days_left(values[deadline.field], now=now),
        "window.more_than_days": more,
        "window.less_than_days": less,
    }


def _tell(
    source: Source, told: Told, values: Mapping[str, Any], *, now: datetime, subscription_id: int | None = None
) -> int:
    change = Change(before=values, after=values, changed=(), now=now)
    event = record_told(source, told, change, using=_alias(source), subscription_id=subscription_id)
    return 0 if event is None else 1
