"""Quiet periods: holds new updates of an object back, and merges those that come one after the other into one request.

The fan-out creates the deliveries, and then calls `hold` in the same transaction. A quiet period is a set of deliveries
to one webhook, of events of one type and object. The last of them waits, and carries the changes of all; the others are
finished as merged. Once it is due, the period is over, and the next update begins another.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, NamedTuple

from django.db import router

from tms_webhooks import event_names
from tms_webhooks.catalogue import registry
from tms_webhooks.catalogue.values import value_at
from tms_webhooks.db.lookups import key_in
from tms_webhooks.models import Delivery, DeliveryBody, Event, Webhook, WebhookState
from tms_webhooks.models.subscription import longest_quiet_seconds
from tms_webhooks.outbox import fanout_sql
from tms_webhooks.payloads.envelope import from_text, to_text
from tms_webhooks.routing.filtered import Pair

_MISSING = object()

Object = tuple[int, str, str]
"""The key of a webhook, and the type and id of an object."""


class QuietPlan(NamedTuple):
    """Which events may have to wait: the patterns of subscriptions with a quiet period, and whether a webhook of theirs
    is ordered. On an ordered one, any event ends a quiet period."""

    patterns: Collection[str] = ()
    has_ordered: bool = False

    def includes(self, event_type: str) -> bool:
        """Return whether events of this type may wait, or end the wait of another event."""
        if self.has_ordered:
            return True
        may_wait = bool(self.patterns) and event_names.may_be_merged(event_type)
        return may_wait and not set(self.patterns).isdisjoint(event_names.patterns_for(event_type))


class Quiet(NamedTuple):
    """A quiet period, and the longest time that an update waits. Both in seconds."""

    seconds: int
    longest: int


@dataclass(frozen=True, slots=True)
class _Row:
    """A delivery: a new one, or one that waits. ``quiet`` is None for a new one that does not wait."""

    delivery_id: int
    event_id: int
    event_type: str
    subject: Object
    order_key: int
    body: str
    quiet: Quiet | None = None
    period: int | None = None
    began_at: datetime | None = None
    is_merged: bool = False


@dataclass(slots=True)
class _Changes:
    """What to write: deliveries with their quiet periods, by the time until which they wait; merged ones; and bodies."""

    waiting: dict[datetime, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    merged: dict[int, int] = field(default_factory=dict)
    bodies: dict[int, str] = field(default_factory=dict)

    def write(self, now: datetime) -> None:
        """Write all of it."""
        outdated = [*self.merged, *self.bodies]
        if self.merged:
            fanout_sql.mark_merged(self.merged, now=now)
            DeliveryBody.objects.using(router.db_for_write(DeliveryBody)).filter(key_in(outdated)).delete()
        for due_at, periods in self.waiting.items():
            fanout_sql.wait_until(due_at, periods)
        if self.bodies:
            DeliveryBody.objects.using(router.db_for_write(DeliveryBody)).bulk_create(
                [DeliveryBody(delivery_id=pk, merged=body) for pk, body in self.bodies.items()]
            )


def hold(event_ids: Collection[int], matching: Collection[Pair], *, now: datetime) -> None:
    """Hold the new deliveries of these events back where a quiet period applies, and merge them with those that wait.

    ``matching`` are the events and filtered subscriptions that match. Call it in the transaction that created the
    deliveries. The webhooks' states are locked, so that two calls about one object come one after the other.
    """
    found = fanout_sql.quiet_subscriptions(event_ids)
    if not found:
        return
    keys = {webhook_id for _delivery, _event, webhook_id, *_others in found}
    WebhookState.objects.lock(keys)
    webhooks = Webhook.objects.using(router.db_for_write(Webhook)).only("delay_seconds", "ordered").in_bulk(keys)
    rows = list(_new_rows(found, set(matching), webhooks))
    # Without any that may wait, or may end a wait, nothing is read.
    rows += _waiting_rows({row.order_key for row in rows}, webhooks, now=now) if rows else []
    changes = _Changes()
    by_object: dict[Object, list[_Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row.event_id):
        by_object[row.subject].append(row)
    for (webhook_id, *_subject), of_object in by_object.items():
        _plan(of_object, webhooks[webhook_id], changes, now=now)
    changes.write(now)


def _new_rows(
    found: Iterable[tuple[Any, ...]], matching: Collection[Pair], webhooks: Mapping[int, Webhook]
) -> Iterator[_Row]:
    """Yield the new deliveries that may wait, and all new ones of ordered webhooks."""
    by_delivery: dict[tuple[int, int, int], list[tuple[Any, ...]]] = defaultdict(list)
    for delivery_id, event_id, webhook_id, *subscription in found:
        by_delivery[delivery_id, event_id, webhook_id].append(tuple(subscription))
    events = _events({event_id for _delivery, event_id, _webhook in by_delivery})
    for (delivery_id, event_id, webhook_id), subscriptions in by_delivery.items():
        event = events[event_id]
        quiet = _quiet_of(event, subscriptions, matching)
        if quiet is not None or webhooks[webhook_id].ordered:
            subject = (webhook_id, event.subject_type, event.subject_id)
            yield _Row(delivery_id, event_id, event.type, subject, event.subject_key, event.body, quiet)


def _quiet_of(event: Event, subscriptions: Iterable[tuple[Any, ...]], matching: Collection[Pair]) -> Quiet | None:
    """Return the longest quiet period of the subscriptions that match an event; None if it is sent immediately."""
    # Of an event that names no changes, a later one would not show what it was about.
    if not event_names.may_be_merged(event.type) or not can_be_merged(event.body):
        return None
    patterns = event_names.patterns_for(event.type)
    periods = [
        Quiet(seconds, longest_quiet_seconds(seconds, longest))
        for pk, pattern, is_filtered, seconds, longest in subscriptions
        if pattern in patterns and (not is_filtered or (event.pk, pk) in matching)
    ]
    return max(periods, default=None)


def _waiting_rows(order_keys: Collection[int], webhooks: Mapping[int, Webhook], *, now: datetime) -> Iterator[_Row]:
    """Yield the deliveries of these objects to these webhooks that wait."""
    rows = Delivery.objects.using(router.db_for_write(Delivery))
    found = list(rows.among(fanout_sql.lock_waiting(order_keys, webhooks.keys(), now=now)))
    events = _events({one.event_id for one in found})
    began = dict(rows.among({one.quiet_period or 0 for one in found}).values_list("pk", "created_at"))
    stored = DeliveryBody.objects.using(rows.db).filter(key_in(one.pk for one in found)).exclude(merged="")
    merged = dict(stored.values_list("pk", "merged"))
    for one in found:
        event, delay = events.get(one.event_id), timedelta(seconds=webhooks[one.webhook_id].delay_seconds)
        # During the delay after it, the period is over.
        if event is None or one.due_at is None or one.due_at - delay <= now:
            continue
        yield _Row(
            one.pk,
            event.pk,
            event.type,
            (one.webhook_id, event.subject_type, event.subject_id),
            event.subject_key,
            merged.get(one.pk, event.body),
            period=one.quiet_period,
            began_at=began.get(one.quiet_period or 0, one.created_at),
            is_merged=one.pk in merged,
        )


def _events(keys: Collection[int]) -> dict[int, Event]:
    rows = Event.objects.using(router.db_for_write(Event)).filter(key_in(keys))
    return {row.pk: row for row in rows.only("type", "subject_type", "subject_id", "subject_key", "body").order_by()}


def _plan(rows: Sequence[_Row], webhook: Webhook, changes: _Changes, *, now: datetime) -> None:
    """Decide about the deliveries of one object to one webhook, in the order of their events."""
    runs = [list(run) for _key, run in groupby(rows, key=_run_key)]
    if not webhook.ordered:
        by_type: dict[str, list[_Row]] = defaultdict(list)
        for row in rows:
            by_type[row.event_type].append(row)
        runs = list(by_type.values())
    for number, run in enumerate(runs, start=1):
        if run[0].quiet is None and run[0].period is None:
            continue
        # On an ordered webhook an event of another type ends the wait, so that it is not sent before this one.
        _plan_run(
            run,
            changes,
            ends_at=now if webhook.ordered and number < len(runs) else None,
            delay=timedelta(seconds=webhook.delay_seconds),
            now=now,
        )


def _run_key(row: _Row) -> tuple[str, bool]:
    return row.event_type, row.quiet is None and row.period is None


def _plan_run(
    run: Sequence[_Row], changes: _Changes, *, ends_at: datetime | None, delay: timedelta, now: datetime
) -> None:
    """Decide about deliveries that are merged: the last one waits, until ``ends_at`` or for its quiet period."""
    periods = [row.quiet for row in run if row.quiet is not None]
    if ends_at is None and not periods:
        return
    period = next((row.period for row in run if row.period is not None), run[0].delivery_id)
    *others, carrier = run
    if others:
        body = merge(_bodies(run))
        changes.merged.update({row.delivery_id: period for row in others})
        if body is None:
            # Nothing is left changed, so no request is needed.
            changes.merged[carrier.delivery_id] = period
            return
        changes.bodies[carrier.delivery_id] = body
    if ends_at is None:
        began_at = min((row.began_at for row in run if row.began_at is not None), default=now)
        longest = max(periods)
        ends_at = max(now, min(now + timedelta(seconds=longest.seconds), began_at + timedelta(seconds=longest.longest)))
    changes.waiting[ends_at + delay][carrier.delivery_id] = period


def _bodies(run: Sequence[_Row]) -> list[str]:
    """Return the bodies to merge, the oldest first."""
    is_in_order = not any(row.is_merged for row in run[1:])
    if is_in_order:
        return [row.body for row in run]
    # A concurrent worker has merged later events already: begin again with the events themselves.
    merged = Delivery.objects.of_quiet_periods(row.period for row in run)
    keys = {*merged.values_list("event_id", flat=True), *(row.event_id for row in run)}
    return [event.body for _key, event in sorted(_events(keys).items()) if event.body]


def can_be_merged(body: str) -> bool:
    """Return whether the body of an event names changed fields. An event for an organization that an object left can't be
    merged: its thin form must not get the values of another event.
    """
    event = from_text(body) if body else {}
    return bool(event.get("changed")) and not event.get("left")


def merge(bodies: Sequence[str]) -> str | None:
    """Return one body for these events of one type and object, the oldest first; None if no field is left changed.

    The result is the newest event with the changes of all:

    - ``changed`` names the fields of all events, in the order of the type's fields;
    - ``previous`` has the oldest old value of each;
    - a field that has its oldest value again is in neither.
    """
    events = [from_text(body) for body in bodies]
    newest = events[-1]
    oldest: dict[str, Any] = {}
    for event in events:
        for name in event["changed"]:
            oldest.setdefault(name, value_at(event["previous"], name, _MISSING))
    known_types = registry.expand(newest["type"])
    order = {field.name: number for number, field in enumerate(known_types[0].fields)} if known_types else {}
    changed = [
        name
        # Names that are no field of the type are last.
        for name in sorted(oldest, key=lambda name: order.get(name, len(order)))
        if oldest[name] is _MISSING or oldest[name] != value_at(newest["data"], name, _MISSING)
    ]
    if not changed:
        return None
    known = {name: oldest[name] for name in changed if oldest[name] is not _MISSING}
    return to_text({**newest, "changed": changed, "previous": _nested(known)})


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in values.items():
        *parents, leaf = name.split(".")
        target = nested
        for parent in parents:
            target = target.setdefault(parent, {})
        target[leaf] = value
    return nested
