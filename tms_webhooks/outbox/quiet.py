"""Quiet periods: holds new updates of an object back, and merges those that come one after the other into one request.

The fan-out creates the deliveries, and then calls `hold` in the same transaction. A quiet period is a set of deliveries
to one webhook, of events of one type and object. The last of them waits, and carries the changes of all; the others are
finished as merged. Once it is due, the period is over, and the next update begins another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from django.db import models, router
from django.db.models import OuterRef, Subquery
from django.db.models.functions import Coalesce

from tms_webhooks import event_names
from tms_webhooks.db.sql import database, for_update, key_in, moment, numbers, read, write
from tms_webhooks.models import Delivery, DeliveryBody, Event, Webhook, WebhookState
from tms_webhooks.models.subscription import longest_quiet_seconds
from tms_webhooks.outbox.event_row import remaining_changes
from tms_webhooks.outbox.fanout_sql import LOCK_WAITING, MERGE, QUIET_SUBSCRIPTIONS, WAIT, WAITING_OF_OBJECTS
from tms_webhooks.payloads.envelope import from_text, to_text
from tms_webhooks.routing.filtered import Pair

Object = tuple[int, str, str]
"""The key of a webhook, and the type and id of an object."""


class Quiet(NamedTuple):
    """A quiet period, and the longest time that an update waits. Both in seconds."""

    seconds: int
    longest: int


class _Changes(NamedTuple):
    """What to write: deliveries with their quiet periods, by the time until which they wait; merged ones; and bodies."""

    waiting: defaultdict[datetime, dict[int, int]]
    merged: dict[int, int]
    bodies: dict[int, str]

    def save(self, now: datetime) -> None:
        """Write all of it."""
        if self.merged:
            write(MERGE, {"now": moment(now)}, **_parts(self.merged))
            DeliveryBody.objects.filter(key_in([*self.merged, *self.bodies])).delete()
        for due_at, periods in self.waiting.items():
            write(WAIT, {"due_at": moment(due_at)}, **_parts(periods))
        if self.bodies:
            DeliveryBody.objects.bulk_create(
                [DeliveryBody(delivery_id=pk, merged=body) for pk, body in self.bodies.items()]
            )


def _parts(periods: Mapping[int, int]) -> dict[str, Any]:
    """Return the parts of a statement that changes deliveries; ``periods`` are their quiet periods by their keys."""
    return {
        "ids": numbers(periods),
        "periods": " ".join(f"WHEN {pk} THEN {period}" for pk, period in periods.items()),
    }


def hold(event_ids: Collection[int], matching: Collection[Pair], *, now: datetime) -> None:
    """Hold the new deliveries of these events back where a quiet period applies, and merge them with those that wait.

    ``matching`` are the events and filtered subscriptions that match. Call it in the transaction that created the
    deliveries. The webhooks' states are locked, so that two calls about one object come one after the other.
    """
    by_delivery: dict[int, list[Sequence[Any]]] = defaultdict(list)
    keys = set()
    for delivery_id, _event, webhook_id, *subscription in read(QUIET_SUBSCRIPTIONS, ids=numbers(event_ids)):
        keys.add(webhook_id)
        by_delivery[delivery_id].append(subscription)
    if not keys:
        return
    WebhookState.objects.lock(keys)
    webhooks = Webhook.objects.using(router.db_for_write(Webhook)).only("delay_seconds", "ordered").in_bulk(keys)
    new = list(_with_bodies(by_delivery))
    quiet = {one.pk: period for one in new if (period := _quiet_of(one.event, by_delivery[one.pk], set(matching)))}
    # On an ordered webhook, any event ends the wait of an earlier one.
    rows = [one for one in new if one.pk in quiet or webhooks[one.webhook_id].ordered]
    if rows:
        waiting = _lock_waiting({one.event.subject_key for one in rows}, keys, now=now)
        delays = {key: timedelta(seconds=webhook.delay_seconds) for key, webhook in webhooks.items()}
        # During the delay after it, a period is over.
        rows += (one for one in _with_bodies(waiting) if one.due_at - delays[one.webhook_id] > now)
    changes = _Changes(defaultdict(dict), {}, {})
    by_object: dict[Object, list[Any]] = defaultdict(list)
    for row in sorted(rows, key=attrgetter("event_id")):
        by_object[row.webhook_id, row.event.subject_type, row.event.subject_id].append(row)
    for (webhook_id, *_subject), of_object in by_object.items():
        _plan(of_object, webhooks[webhook_id], quiet, changes, now=now)
    changes.save(now)


def _lock_waiting(order_keys: Iterable[int], webhook_ids: Collection[int], *, now: datetime) -> list[int]:
    """Lock the deliveries of these objects to these webhooks that wait for a quiet period; return their keys.

    The webhooks must be locked: no other fan-out adds such deliveries then.
    """
    found = [pk for pk, webhook_id in read(WAITING_OF_OBJECTS, keys=numbers(order_keys)) if webhook_id in webhook_ids]
    by_key = "FORCE INDEX (PRIMARY)" if database().vendor == "mysql" else ""
    params, lock = {"now": moment(now)}, for_update()
    locked = read(LOCK_WAITING, params, ids=numbers(found), by_key=by_key, lock=lock) if found else ()
    return [pk for (pk,) in locked]


def _with_bodies(keys: Iterable[int]) -> models.QuerySet[Any]:
    """Return these deliveries with their events, the ``merged`` one that they carry, and when their quiet period began."""
    rows = Delivery.objects.using(router.db_for_write(Delivery))
    first = rows.filter(pk=OuterRef("quiet_period")).order_by().values("created_at")
    bodies = DeliveryBody.objects.using(rows.db).filter(pk=OuterRef("pk")).exclude(merged="").values("merged")
    extra = {"began_at": Coalesce(Subquery(first), "created_at"), "merged": Subquery(bodies)}
    return rows.among(keys).select_related("event").annotate(**extra).order_by()


def _quiet_of(event: Event, subscriptions: Iterable[Sequence[Any]], matching: Collection[Pair]) -> Quiet | None:
    """Return the longest quiet period of the subscriptions that match an event; None if it is sent immediately."""
    # Of an event that names no changes, a later one would not show what it was about.
    if not event_names.may_be_merged(event.type) or not event.body or not from_text(event.body)["changed"]:
        return None
    patterns = event_names.patterns_for(event.type)
    periods = [
        Quiet(seconds, longest_quiet_seconds(seconds, longest))
        for pk, pattern, is_filtered, seconds, longest in subscriptions
        if pattern in patterns and (not is_filtered or (event.pk, pk) in matching)
    ]
    return max(periods, default=None)


def _plan(
    rows: Sequence[Any], webhook: Webhook, quiet: Mapping[int, Quiet], changes: _Changes, *, now: datetime
) -> None:
    """Decide about the deliveries of one object to one webhook, in the order of their events.

    Of those that are merged, the last one waits for its quiet period. ``quiet`` are the periods of new deliveries, by
    their keys.
    """

    def kind(row: Any) -> tuple[str, bool]:
        return row.event.type, row.pk in quiet or row.quiet_period is not None

    in_order = rows if webhook.ordered else sorted(rows, key=kind)
    runs = [(waits, list(run)) for (_type, waits), run in groupby(in_order, key=kind)]
    for number, (waits, run) in enumerate(runs, start=1):
        periods = [quiet[row.pk] for row in run if row.pk in quiet]
        # On an ordered webhook an event of another type ends the wait, so that it is not sent before this one.
        is_over = webhook.ordered and number < len(runs)
        if not waits or not (periods or is_over):
            continue
        period = next((row.quiet_period for row in run if row.quiet_period is not None), run[0].pk)
        *others, carrier = run
        if others:
            changes.merged.update({row.pk: period for row in others})
            body = merge([row.merged or row.event.body for row in run])
            if body is None:
                # Nothing is left changed, so no request is needed.
                changes.merged[carrier.pk] = period
                continue
            changes.bodies[carrier.pk] = body
        ends_at = now
        if not is_over:
            longest, began_at = max(periods), min(row.began_at for row in run)
            end = began_at + timedelta(seconds=longest.longest)
            ends_at = max(now, min(now + timedelta(seconds=longest.seconds), end))
        changes.waiting[ends_at + timedelta(seconds=webhook.delay_seconds)][carrier.pk] = period


def merge(bodies: Sequence[str]) -> str | None:
    """Return one body for these events of one type and object, the oldest first; None if no field is left changed.

    The result is the newest event with the `remaining_changes` of all.
    """
    events = [from_text(body) for body in bodies]
    changed, previous = remaining_changes(events, events[-1])
    return to_text({**events[-1], "changed": changed, "previous": previous}) if changed else None
