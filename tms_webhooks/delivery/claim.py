"""Taking deliveries to send: what is due, fairly over the webhooks, under a lease."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from tms_webhooks.choices import Lane
from tms_webhooks.delivery.candidates import Candidate, places_of, these, with_work
from tms_webhooks.delivery.limits import Appetite
from tms_webhooks.delivery.outgoing import Parcel
from tms_webhooks.delivery.parcels import pack
from tms_webhooks.delivery.pick import IS_DUE, Due, next_of_each
from tms_webhooks.delivery.take import take
from tms_webhooks.models import Delivery
from tms_webhooks.models.statements import moment, read_at_once

__all__ = ["Claim", "Parcel", "claim", "next_due_at"]

FEW = 64
"""Where fewer than that are due, they are all looked at."""
FEW_NEW = 32
LONG_AGO = datetime.min.replace(tzinfo=UTC)

# Sorted by key afterwards: PostgreSQL would read all that came due in the same moment.
OLDEST = f"""
SELECT id, webhook_id, lane FROM (
    SELECT id, webhook_id, lane, due_at FROM {{delivery}} d WHERE {IS_DUE} ORDER BY due_at LIMIT {FEW}) due
ORDER BY due_at, id"""  # noqa: S608 (all of it is here)

# The newest, without those of webhooks that have older ones, too. Read one by one: to join them PostgreSQL may read all.
NEWEST = f"""
WITH newest AS (
    SELECT id, webhook_id, lane, due_at FROM {{delivery}} d WHERE {IS_DUE} ORDER BY due_at DESC LIMIT {FEW_NEW})
SELECT id, webhook_id, lane FROM newest n WHERE (
    SELECT o.id FROM {{delivery}} o WHERE o.webhook_id = n.webhook_id AND o.lane = n.lane AND o.lease <> %(token)s
        AND o.due_at <= (SELECT MIN(due_at) FROM newest HAVING COUNT(*) = {FEW_NEW}) LIMIT 1) IS NULL
ORDER BY due_at, id"""  # noqa: S608 (all of it is here)


class Claim(NamedTuple):
    """What a worker got to send.

    ``held_up`` are the webhooks that may have more due and have no place for it now; ``is_all`` says that all that is due was
    looked at.
    """

    parcels: list[Parcel]
    held_up: Collection[int] = ()
    is_all: bool = True


def claim(
    *,
    token: str,
    now: datetime,
    until: datetime,
    room: int,
    appetite: Appetite = lambda _webhook_id, cap: cap,
    only_new: bool = False,
) -> Claim:
    """Lease up to ``room`` deliveries to the holder of ``token`` until ``until``.

    Webhooks that have as many in flight as they may, are paused, or have used up their rate are left out, whoever
    sends to them; of the others the least recently served come first. The rows of a worker that died are due when its
    lease is over.

    With ``only_new`` it looks at a few that came due last, and takes none of a webhook for which older ones wait: however
    much is due that can't be sent now, as for a webhook that is paused, that is quick.
    """
    due = _due(NEWEST if only_new else OLDEST, token=token, now=now) if room > 0 else []
    if not due:
        return Claim([])
    all_due = due if only_new or len(due) < FEW else None
    candidates = _sendable(all_due, now, token=token, limit=room, appetite=appetite)
    places = places_of(candidates, now, appetite=appetite)
    chosen = {one.webhook.pk: one for one in candidates if places[one.webhook.pk].free > 0}
    if not chosen:
        return Claim([], places.keys(), is_all=all_due is not None)
    webhooks = [one.webhook for one in chosen.values()]
    found = next_of_each(webhooks, all_due, places=places, now=now, token=token, limit=room)
    taken = take(found, candidates=chosen, token=token, now=now, until=until)
    counts = Counter(webhook_id for _pk, webhook_id in found)
    held_up = {pk for pk, place in places.items() if counts[pk] >= place.free}
    parcels = pack(taken, candidates=chosen, caps={pk: places[pk].cap for pk in chosen})
    return Claim(parcels, held_up, is_all=all_due is not None)


def next_due_at(now: datetime) -> datetime | None:
    """Return when the next delivery comes due that was not due at ``now``, or None where nothing waits."""
    later = Delivery.objects.filter(due_at__gt=now).order_by("due_at")
    return later.values_list("due_at", flat=True).first()


def _due(sql: str, *, token: str, now: datetime) -> list[Due]:
    """Return a few that are due, the longest due first."""
    return [Due(*row) for row in read_at_once("id, webhook_id, lane", sql, {"now": moment(now), "token": token})]


def _sendable(
    all_due: Iterable[Due] | None, now: datetime, *, token: str, limit: int, appetite: Appetite
) -> list[Candidate]:
    """Return the webhooks that something can be sent to now, the least recently served first."""
    among: Collection[int] | None = None
    if all_due is not None:
        lanes: dict[int, set[int]] = defaultdict(set)
        for line in all_due:
            lanes[line.webhook_id].add(line.lane)
        candidates = these(lanes, token=token, now=now)
        if not any(one.webhook.ordered for one in candidates):
            sendable = [one for one in candidates if _can_send(one, lanes[one.webhook.pk], now)]
            return sorted(sendable, key=_turn)[:limit]
        among = lanes.keys()
    return sorted(with_work(among, token=token, now=now, limit=limit, appetite=appetite), key=_turn)


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
