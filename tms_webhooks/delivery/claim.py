"""Taking deliveries to send: what is due, fairly over the webhooks, under a lease."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from tms_webhooks.choices import Lane
from tms_webhooks.delivery.candidates import Candidate, limited, places_of, these
from tms_webhooks.delivery.limits import Appetite
from tms_webhooks.delivery.parcels import Parcel, pack
from tms_webhooks.delivery.pick import NOTHING_EARLIER, Due, next_of_each
from tms_webhooks.delivery.take import take
from tms_webhooks.models import Delivery
from tms_webhooks.models.statements import database, moment, numbers, read, read_at_once

__all__ = ["Parcel", "claim", "next_due_at"]

LONG_AGO = datetime.min.replace(tzinfo=UTC)

# Its own rows that have run out are still in the worker's hands: claiming them again would send them twice.
# Sorted by key afterwards: PostgreSQL would read all that came due in the same moment.
DUE = """
SELECT id, webhook_id, lane FROM (
    SELECT id, webhook_id, lane, due_at FROM {delivery} WHERE due_at <= %s AND lease <> %s ORDER BY due_at LIMIT %s) due
ORDER BY due_at, id"""

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
    due = _due(now, token=token, limit=room) if room > 0 else []
    if not due:
        return []
    # Where less is due than there is room for, nothing else needs to be looked at.
    all_due = due if len(due) < room else None
    candidates = _with_work(all_due, now, token=token, limit=room, appetite=appetite)
    places = places_of(candidates, now, appetite=appetite)
    chosen = {one.webhook.pk: one for one in candidates if places[one.webhook.pk].free > 0}
    if not chosen:
        return []
    webhooks = [one.webhook for one in chosen.values()]
    found = next_of_each(webhooks, all_due, places=places, now=now, token=token, limit=room)
    taken = take(found, candidates=chosen, token=token, now=now, until=until)
    return pack(taken, candidates=chosen, caps={pk: places[pk].cap for pk in chosen})


def next_due_at(now: datetime) -> datetime | None:
    """Return when the next delivery comes due that was not due at ``now``, or None where nothing waits."""
    later = Delivery.objects.filter(due_at__gt=now).order_by("due_at")
    return later.values_list("due_at", flat=True).first()


def _due(now: datetime, *, token: str, limit: int) -> list[Due]:
    """Return what is due, up to ``limit``, the longest due first."""
    return [Due(*row) for row in read_at_once("id, webhook_id, lane", DUE, [moment(now), token, limit])]


def _with_work(
    all_due: Iterable[Due] | None, now: datetime, *, token: str, limit: int, appetite: Appetite
) -> list[Candidate]:
    """Return the webhooks that something can be sent to now, the least recently served first."""
    lanes: dict[int, set[int]] = defaultdict(set)
    for line in all_due or ():
        lanes[line.webhook_id].add(line.lane)
    if all_due is not None:
        candidates = these(lanes, token=token, now=now)
        if not any(one.webhook.ordered for one in candidates):
            return sorted((one for one in candidates if _can_send(one, lanes[one.webhook.pk], now)), key=_turn)
    among = None if all_due is None else lanes.keys()
    chosen = _ask_for_work(among, now, token=token, limit=limit, appetite=appetite)
    return sorted(these(chosen, token=token, now=now), key=_turn)


def _can_send(candidate: Candidate, lanes: Collection[int], now: datetime) -> bool:
    """Say of a webhook that is not ordered what `WITH_WORK` says of all; what its limits say is asked later."""
    if candidate.webhook.deleted_at is not None:
        return False
    return Lane.BY_HAND in lanes or (
        candidate.webhook.is_awake(now)
        and (Lane.LIVE in lanes or (Lane.REPLAY in lanes and not candidate.flying.replays))
    )


def _turn(candidate: Candidate) -> tuple[datetime, int]:
    return candidate.webhook.served_at or LONG_AGO, candidate.webhook.pk


def _ask_for_work(
    among: Iterable[int] | None, now: datetime, *, token: str, limit: int, appetite: Appetite
) -> list[int]:
    held_up = limited(token=token, now=now)
    places = places_of(held_up, now, appetite=appetite)
    params = [moment(now), *[moment(now), token] * 4, limit]
    parts = {
        "full": numbers(pk for pk, place in places.items() if place.free <= 0),
        "replaying": numbers(one.webhook.pk for one in held_up if one.flying.replays),
        "due": "" if among is None else f"AND w.id IN ({numbers(among)})",
        # Left to itself, MariaDB reads the whole table.
        "by_claim": "FORCE INDEX (tms_delivery_claim)" if database().vendor == "mysql" else "",
    }
    return [pk for (pk,) in read(WITH_WORK, params, **parts)]
