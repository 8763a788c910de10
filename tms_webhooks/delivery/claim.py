"""Taking deliveries to send: what is due, fairly over the webhooks, under a lease."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from django.db import router, transaction

from tms_webhooks.delivery.limits import LIMITING, Appetite, Flying, Place, place_of, tokens_of
from tms_webhooks.delivery.parcels import Parcel, pack
from tms_webhooks.delivery.pick import NOTHING_EARLIER, next_of_each
from tms_webhooks.models import Delivery, Webhook
from tms_webhooks.models.statements import database, filled, for_update, moment, numbers, read, write

__all__ = ["Parcel", "claim", "next_due_at"]

# Its own rows that have run out are still in the worker's hands: claiming them again would send them twice.
DUE = """
SELECT webhook_id, COUNT(*) FROM (
    SELECT webhook_id FROM {delivery} WHERE due_at <= %s AND lease <> %s ORDER BY due_at LIMIT %s) due
GROUP BY webhook_id"""

IN_FLIGHT = """
SELECT webhook_id, COUNT(*), SUM(CASE WHEN lease = %s THEN 1 ELSE 0 END), SUM(CASE WHEN lane = 2 THEN 1 ELSE 0 END)
FROM {delivery} WHERE status = 'in_flight' AND due_at > %s GROUP BY webhook_id"""

LIMITED = f"SELECT id, {', '.join(LIMITING)} FROM {{webhook}} WHERE id IN ({{flying}}) OR rate_limit_per_second IS NOT NULL AND tokens < 1"  # noqa: S608 (names of ours)

# What is resent by hand (lane 0) goes out also where everything else has to wait. Of the others, an ordered webhook
# needs one that is in turn, and what is replayed (lane 2) waits for the one before it.
WITH_WORK = f"""
SELECT w.id FROM {{webhook}} w
WHERE w.deleted_at IS NULL {{due}} AND w.id NOT IN ({{full}}) AND (
  w.enabled AND (w.paused_until IS NULL OR w.paused_until <= %s) AND CASE WHEN w.ordered THEN
    EXISTS (SELECT 1 FROM {{delivery}} d {{by_claim}} WHERE d.webhook_id = w.id AND d.lane IN (1, 2) AND d.due_at <= %s AND d.lease <> %s
      AND {NOTHING_EARLIER})
  ELSE
    EXISTS (SELECT 1 FROM {{delivery}} d {{by_claim}} WHERE d.webhook_id = w.id AND d.lane = 1 AND d.due_at <= %s AND d.lease <> %s)
    OR w.id NOT IN ({{replaying}}) AND
    EXISTS (SELECT 1 FROM {{delivery}} d {{by_claim}} WHERE d.webhook_id = w.id AND d.lane = 2 AND d.due_at <= %s AND d.lease <> %s)
  END
  OR EXISTS (SELECT 1 FROM {{delivery}} d {{by_claim}} WHERE d.webhook_id = w.id AND d.lane = 0 AND d.due_at <= %s AND d.lease <> %s))
ORDER BY w.served_at IS NOT NULL, w.served_at, w.id
LIMIT %s"""  # noqa: S608 (names of ours)

WHOLE = "SELECT * FROM {webhook} WHERE id IN ({ids}) {lock}"

SERVED = "UPDATE {webhook} SET served_at = %s WHERE id IN ({ids})"


def claim(
    *, token: str, now: datetime, until: datetime, room: int, appetite: Appetite = lambda _webhook_id, cap: cap
) -> list[Parcel]:
    """Lease up to ``room`` deliveries to the holder of ``token`` until ``until``.

    Webhooks that have as many in flight as they may, are paused, or have used up their rate are left out, whoever
    sends to them; of the others the least recently served come first. The rows of a worker that died are due when its
    lease is over.
    """
    candidates = _webhooks_with_work(now, token=token, limit=room, appetite=appetite) if room > 0 else []
    if not candidates:
        return []
    with transaction.atomic(using=router.db_for_write(Delivery)):
        webhooks = _locked(candidates)
        places = _places(webhooks.values(), now, flying=_in_flight(now, token=token), appetite=appetite)
        chosen = [webhooks[pk] for pk in candidates if pk in places and places[pk].free > 0]
        found = next_of_each(chosen, places=places, now=now, token=token, limit=room)
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
    due = dict(read(DUE, [moment(now), token, limit]))
    if not due:
        return []
    flying = _in_flight(now, token=token)
    limited = Webhook.objects.raw(filled(LIMITED, flying=numbers(flying)), using=router.db_for_write(Webhook))
    places = _places(limited, now, flying=flying, appetite=appetite)
    full = [pk for pk, place in places.items() if place.free <= 0]
    replaying = [pk for pk, held in flying.items() if held.replays]
    params = [moment(now), *[moment(now), token] * 4, limit]
    parts = {
        "full": numbers(full),
        "replaying": numbers(replaying),
        # Where less is due than there is room for, nobody else needs to be asked.
        "due": f"AND w.id IN ({numbers(due)})" if sum(due.values()) < limit else "",
        # Left to itself, MariaDB reads the whole table.
        "by_claim": "FORCE INDEX (tms_delivery_claim)" if database().vendor == "mysql" else "",
    }
    return [pk for (pk,) in read(WITH_WORK, params, **parts)]


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
