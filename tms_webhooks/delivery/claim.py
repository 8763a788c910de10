"""Taking deliveries to send: what is due, fairly over the webhooks, under a lease."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import router, transaction

from tms_webhooks.choices import Lane
from tms_webhooks.delivery.limits import LIMITING, Appetite, Flying, Place, place_of, tokens_of
from tms_webhooks.delivery.parcels import Parcel, pack
from tms_webhooks.models import Delivery, Webhook
from tms_webhooks.models.statements import filled, for_update, moment, numbers, read, write

__all__ = ["Parcel", "claim", "next_due_at"]

# SQLite takes a union of 500 selects, and a webhook needs up to three.
WEBHOOKS_AT_ONCE = 150

# Its own rows that have run out are still in the worker's hands: claiming them again would send them twice.
ANY_DUE = "SELECT 1 FROM {delivery} WHERE due_at <= %s AND lease <> %s LIMIT 1"

IN_FLIGHT = """
SELECT webhook_id, COUNT(*), SUM(CASE WHEN lease = %s THEN 1 ELSE 0 END), SUM(CASE WHEN lane = 2 THEN 1 ELSE 0 END)
FROM {delivery} WHERE status = 'in_flight' AND due_at > %s GROUP BY webhook_id"""

NOTHING_EARLIER = """NOT EXISTS (
        SELECT 1 FROM {delivery} o WHERE o.webhook_id = d.webhook_id AND o.order_key = d.order_key
        AND o.due_at IS NOT NULL AND o.event_id < d.event_id)"""

LIMITED = f"SELECT id, {', '.join(LIMITING)} FROM {{webhook}} WHERE id IN ({{flying}}) OR rate_limit_per_second IS NOT NULL AND tokens < 1"  # noqa: S608 (names of ours)

# What is resent by hand (lane 0) goes out also where everything else has to wait. Of the others, an ordered webhook
# needs one that is in turn, and what is replayed (lane 2) waits for the one before it.
WITH_WORK = """
SELECT w.id FROM {webhook} w
WHERE w.deleted_at IS NULL AND w.id NOT IN ({full}) AND (
  w.enabled AND (w.paused_until IS NULL OR w.paused_until <= %s) AND CASE WHEN w.ordered THEN
    EXISTS (SELECT 1 FROM {delivery} d WHERE d.webhook_id = w.id AND d.lane IN (1, 2) AND d.due_at <= %s AND d.lease <> %s
      AND {nothing_earlier})
  ELSE
    EXISTS (SELECT 1 FROM {delivery} d WHERE d.webhook_id = w.id AND d.lane = 1 AND d.due_at <= %s AND d.lease <> %s)
    OR w.id NOT IN ({replaying}) AND
    EXISTS (SELECT 1 FROM {delivery} d WHERE d.webhook_id = w.id AND d.lane = 2 AND d.due_at <= %s AND d.lease <> %s)
  END
  OR EXISTS (SELECT 1 FROM {delivery} d WHERE d.webhook_id = w.id AND d.lane = 0 AND d.due_at <= %s AND d.lease <> %s))
ORDER BY w.served_at IS NOT NULL, w.served_at, w.id
LIMIT %s""".replace("{nothing_earlier}", NOTHING_EARLIER)

WHOLE = "SELECT * FROM {webhook} WHERE id IN ({ids}) {lock}"

SERVED = "UPDATE {webhook} SET served_at = %s WHERE id IN ({ids})"

# A union, because no database has a limit per group that stops at the index; nested, because SQLite wants it so.
NEXT_OF_ONE = """SELECT id, webhook_id, lane FROM (
    SELECT id, webhook_id, lane FROM {delivery} d
    WHERE webhook_id = %s AND lane = %s AND due_at <= %s AND lease <> %s{in_turn} ORDER BY due_at, id LIMIT %s) u"""

# Nothing earlier of the same object is open, nor about to be: another worker may be fanning it out just now.
IN_TURN = """
    AND {nothing_earlier}
    AND NOT EXISTS (SELECT 1 FROM {event} e WHERE e.fanned_out_at IS NULL AND e.subject_key = d.order_key
        AND e.id < d.event_id)""".replace("{nothing_earlier}", NOTHING_EARLIER)


def claim(
    *, token: str, now: datetime, until: datetime, room: int, appetite: Appetite = lambda _webhook_id, cap: cap
) -> list[Parcel]:
    """Lease up to ``room`` deliveries to the holder of ``token`` until ``until``.

    Webhooks that have as many in flight as they may, are paused, or have used up their rate are left out, whoever
    sends to them; of the others the least recently served come first. The rows of a worker that died are due when its
    lease is over.
    """
    if room <= 0 or not read(ANY_DUE, [moment(now), token]):
        return []
    candidates = _webhooks_with_work(now, token=token, limit=room, appetite=appetite)
    if not candidates:
        return []
    with transaction.atomic(using=router.db_for_write(Delivery)):
        webhooks = _locked(candidates)
        places = _places(webhooks.values(), now, flying=_in_flight(now, token=token), appetite=appetite)
        chosen = [webhooks[pk] for pk in candidates if pk in places and places[pk].free > 0]
        found = _next_of_each(chosen, places=places, now=now, token=token, limit=room)
        # Also where nothing was found: it must not come first again.
        write(SERVED, [moment(now)], ids=numbers(webhook.pk for webhook in chosen))
        if not found:
            return []
        ids = [pk for pk, _webhook_id in found]
        Delivery.objects.lease(ids, token=token, now=now, until=until)
        _spend(webhooks, Counter(webhook_id for _pk, webhook_id in found), now=now)
    return pack(ids, token=token, now=now, webhooks=webhooks, caps={pk: place.cap for pk, place in places.items()})


def next_due_at(now: datetime) -> datetime | None:
    """Return when the next delivery comes due that was not due at ``now``, or None where nothing waits."""
    later = Delivery.objects.filter(due_at__gt=now).order_by("due_at")
    return later.values_list("due_at", flat=True).first()


def _locked(ids: Sequence[int]) -> dict[int, Webhook]:
    """Lock webhooks, so that two workers can't each fill a cap; what another worker has locked, it serves."""
    lock = for_update(skip_locked=True)
    sql = filled(WHOLE, ids=numbers(ids), lock=lock)
    return {webhook.pk: webhook for webhook in Webhook.objects.raw(sql, using=router.db_for_write(Webhook))}


def _webhooks_with_work(now: datetime, *, token: str, limit: int, appetite: Appetite) -> list[int]:
    flying = _in_flight(now, token=token)
    limited = Webhook.objects.raw(filled(LIMITED, flying=numbers(flying)), using=router.db_for_write(Webhook))
    places = _places(limited, now, flying=flying, appetite=appetite)
    full = [pk for pk, place in places.items() if place.free <= 0]
    replaying = [pk for pk, held in flying.items() if held.replays]
    params = [moment(now), *[moment(now), token] * 4, limit]
    return [row[0] for row in read(WITH_WORK, params, full=numbers(full), replaying=numbers(replaying))]


def _in_flight(now: datetime, *, token: str) -> dict[int, Flying]:
    """Return what is under a live lease for each webhook that has any of it."""
    rows = read(IN_FLIGHT, [token, moment(now)])
    return {pk: Flying(int(mine), int(count - mine), int(replays)) for pk, count, mine, replays in rows}


def _places(
    webhooks: Iterable[Webhook], now: datetime, *, flying: Mapping[int, Flying], appetite: Appetite
) -> dict[int, Place]:
    return {
        webhook.pk: place_of(webhook, now, flying=flying.get(webhook.pk, Flying()), appetite=appetite)
        for webhook in webhooks
    }


def _spend(webhooks: Mapping[int, Webhook], taken: Mapping[int, int], *, now: datetime) -> None:
    for pk, count in taken.items():
        tokens = tokens_of(webhooks[pk], now)
        if tokens is not None:
            Webhook.objects.filter(pk=pk).update(tokens=tokens - count, tokens_at=now)


def _next_of_each(
    webhooks: Sequence[Webhook], *, places: Mapping[int, Place], now: datetime, token: str, limit: int
) -> list[tuple[int, int]]:
    """Return (delivery, webhook) of what goes next, the first of each webhook before the second of any.

    What is replayed goes one at a time, and only where less that is live is due than there is place for.
    """
    rows: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for start in range(0, len(webhooks), WEBHOOKS_AT_ONCE):
        for pk, webhook_id, lane in _read_next(
            webhooks[start : start + WEBHOOKS_AT_ONCE], places=places, now=now, token=token
        ):
            rows[webhook_id].append((lane, pk))
    in_turns = [
        (turn, pk, webhook_id)
        for webhook_id, found in rows.items()
        # By the lane alone: within it they come as they are due.
        for turn, (_lane, pk) in enumerate(sorted(found, key=lambda row: row[0])[: places[webhook_id].free])
    ]
    return [(pk, webhook_id) for _turn, pk, webhook_id in sorted(in_turns)[:limit]]


def _read_next(
    webhooks: Sequence[Webhook], *, places: Mapping[int, Place], now: datetime, token: str
) -> Sequence[tuple[Any, ...]]:
    """Read (delivery, webhook, lane) of the longest due: one range of the index ``tms_delivery_claim`` for each lane."""
    parts: list[str] = []
    params: list[Any] = []
    for webhook in webhooks:
        place = places[webhook.pk]
        lanes = {Lane.BY_HAND: place.free}
        if webhook.is_awake(now):
            lanes |= {Lane.LIVE: place.free, Lane.REPLAY: place.replays}
        for lane, most in lanes.items():
            if most > 0:
                # A person who sends one again does not mean to wait for its turn.
                in_turn = IN_TURN if webhook.ordered and lane != Lane.BY_HAND else ""
                parts.append(NEXT_OF_ONE.replace("{in_turn}", in_turn))
                params += [webhook.pk, lane.value, moment(now), token, most]
    return read(" UNION ALL ".join(parts), params) if parts else []
