"""Taking deliveries to send: what is due, fairly over the webhooks, under a lease."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from django.db import router

from tms_webhooks.choices import Lane
from tms_webhooks.delivery.limits import LIMITING, Appetite, Flying, Place, place_of
from tms_webhooks.delivery.parcels import Parcel, pack
from tms_webhooks.delivery.pick import NOTHING_EARLIER, next_of_each
from tms_webhooks.delivery.take import take
from tms_webhooks.models import Delivery, Webhook
from tms_webhooks.models.statements import database, filled, moment, numbers, read

__all__ = ["Parcel", "claim", "next_due_at"]

LONG_AGO = datetime.min.replace(tzinfo=UTC)

# Its own rows that have run out are still in the worker's hands: claiming them again would send them twice.
DUE = """
SELECT webhook_id, lane, COUNT(*) FROM (
    SELECT webhook_id, lane FROM {delivery} WHERE due_at <= %s AND lease <> %s ORDER BY due_at LIMIT %s) due
GROUP BY webhook_id, lane"""

# With what is under a live lease for each, as of the same moment. Its time is a truth value, or PostgreSQL may read the
# index of all that is due later: what is in flight is far less.
WEBHOOKS = """
SELECT {columns}, w.served_at AS seen_at, f.held, f.mine, f.replays FROM {webhook} w LEFT JOIN (
    SELECT webhook_id, COUNT(*) AS held, SUM(CASE WHEN lease = %s THEN 1 ELSE 0 END) AS mine,
        SUM(CASE WHEN lane = 2 THEN 1 ELSE 0 END) AS replays
    FROM {delivery} WHERE status = 'in_flight' AND (due_at > %s) IS TRUE GROUP BY webhook_id
) f ON f.webhook_id = w.id WHERE """
THESE = WEBHOOKS.replace("{columns}", "w.*") + "w.id IN ({ids})"
LIMITED = (
    WEBHOOKS.replace("{columns}", f"w.id, {', '.join(LIMITING)}")
    + "f.webhook_id IS NOT NULL OR w.rate_limit_per_second IS NOT NULL AND w.tokens < 1"
)

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


def claim(
    *, token: str, now: datetime, until: datetime, room: int, appetite: Appetite = lambda _webhook_id, cap: cap
) -> list[Parcel]:
    """Lease up to ``room`` deliveries to the holder of ``token`` until ``until``.

    Webhooks that have as many in flight as they may, are paused, or have used up their rate are left out, whoever
    sends to them; of the others the least recently served come first. The rows of a worker that died are due when its
    lease is over.
    """
    due = _due(now, token=token, limit=room) if room > 0 else Counter()
    if not due:
        return []
    webhooks = _webhooks_with_work(due, now, token=token, limit=room, appetite=appetite)
    places = _places(webhooks, now, appetite=appetite)
    chosen = {webhook.pk: webhook for webhook in webhooks if places[webhook.pk].free > 0}
    if not chosen:
        return []
    found = next_of_each(list(chosen.values()), places=places, now=now, token=token, limit=room)
    taken = take(found, webhooks=chosen, token=token, now=now, until=until)
    return pack(taken, now=now, webhooks=chosen, caps={pk: places[pk].cap for pk in chosen})


def next_due_at(now: datetime) -> datetime | None:
    """Return when the next delivery comes due that was not due at ``now``, or None where nothing waits."""
    later = Delivery.objects.filter(due_at__gt=now).order_by("due_at")
    return later.values_list("due_at", flat=True).first()


def _due(now: datetime, *, token: str, limit: int) -> Counter[tuple[int, int]]:
    """Count what is due, up to ``limit``, by webhook and lane."""
    return Counter({(pk, lane): count for pk, lane, count in read(DUE, [moment(now), token, limit])})


def _webhooks_with_work(
    due: Counter[tuple[int, int]], now: datetime, *, token: str, limit: int, appetite: Appetite
) -> list[Webhook]:
    """Return the webhooks that something can be sent to now, the least recently served first."""
    keys = {pk for pk, _lane in due}
    # Where less is due than there is room for, nobody else needs to be asked.
    among = keys if due.total() < limit else None
    if among is not None:
        webhooks = _read(THESE, now, token=token, ids=numbers(among))
        if not any(webhook.ordered for webhook in webhooks):
            lanes = {webhook: {lane for lane in Lane if (webhook.pk, lane) in due} for webhook in webhooks}
            return sorted((one for one in webhooks if _can_send(one, lanes[one], now)), key=_turn)
    chosen = _ask_for_work(among, now, token=token, limit=limit, appetite=appetite)
    return sorted(_read(THESE, now, token=token, ids=numbers(chosen)), key=_turn)


def _can_send(webhook: Webhook, lanes: set[Lane], now: datetime) -> bool:
    """Say of a webhook that is not ordered what `WITH_WORK` says of all; what its limits say is asked later."""
    if webhook.deleted_at is not None:
        return False
    return Lane.BY_HAND in lanes or (
        webhook.is_awake(now) and (Lane.LIVE in lanes or (Lane.REPLAY in lanes and not _flying(webhook).replays))
    )


def _turn(webhook: Webhook) -> tuple[datetime, int]:
    return webhook.served_at or LONG_AGO, webhook.pk


def _ask_for_work(
    among: Iterable[int] | None, now: datetime, *, token: str, limit: int, appetite: Appetite
) -> list[int]:
    limited = _read(LIMITED, now, token=token)
    places = _places(limited, now, appetite=appetite)
    params = [moment(now), *[moment(now), token] * 4, limit]
    parts = {
        "full": numbers(pk for pk, place in places.items() if place.free <= 0),
        "replaying": numbers(webhook.pk for webhook in limited if _flying(webhook).replays),
        "due": "" if among is None else f"AND w.id IN ({numbers(among)})",
        # Left to itself, MariaDB reads the whole table.
        "by_claim": "FORCE INDEX (tms_delivery_claim)" if database().vendor == "mysql" else "",
    }
    return [pk for (pk,) in read(WITH_WORK, params, **parts)]


def _read(sql: str, now: datetime, *, token: str, **parts: str) -> list[Webhook]:
    rows = Webhook.objects.raw(filled(sql, **parts), [token, moment(now)], using=router.db_for_write(Webhook))
    return list(rows)


def _flying(webhook: Any) -> Flying:
    """Return what is under a live lease for a webhook that was read with it."""
    held, mine, replays = (int(number or 0) for number in (webhook.held, webhook.mine, webhook.replays))
    return Flying(mine=mine, others=held - mine, replays=replays)


def _places(webhooks: Iterable[Webhook], now: datetime, *, appetite: Appetite) -> Mapping[int, Place]:
    return {webhook.pk: place_of(webhook, now, flying=_flying(webhook), appetite=appetite) for webhook in webhooks}
