"""Taking deliveries to send: what is due, fairly over the webhooks, under a lease."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from tms_webhooks.choices import Priority
from tms_webhooks.db.django_private import column_of, converters_of
from tms_webhooks.db.sql import array, database, for_update, moment, numbers, read, read_at_once, read_prepared, write
from tms_webhooks.db.writer import NOT_AT_ONCE, brief_write, undisturbed
from tms_webhooks.delivery.outgoing import ClaimedDelivery, OutgoingRequest
from tms_webhooks.models import Delivery, Event, Webhook
from tms_webhooks.worker.claim_queries import (
    IS_DUE,
    Candidate,
    DueDelivery,
    candidates_with_keys,
    candidates_with_work,
    capacities_of,
    next_of_each,
)
from tms_webhooks.worker.concurrency import Prefetch, tokens_of
from tms_webhooks.worker.send import make_requests

__all__ = ["Claim", "OutgoingRequest", "claim", "next_due_at"]

FEW = 64
"""Where fewer than that are due, they are all looked at."""
FEW_NEW = 32
LONG_AGO = datetime.min.replace(tzinfo=UTC)

# Sorted by key afterwards: PostgreSQL would read all that came due in the same moment.
OLDEST = f"""
SELECT id, webhook_id, priority FROM (
    SELECT id, webhook_id, priority, due_at FROM {{delivery}} d WHERE {IS_DUE} ORDER BY due_at LIMIT {FEW}) due
ORDER BY due_at, id"""  # noqa: S608 (all of it is here)

# The newest, without those of webhooks that have older ones, too. Read one by one: to join them PostgreSQL may read all.
NEWEST = f"""
WITH newest AS (
    SELECT id, webhook_id, priority, due_at FROM {{delivery}} d WHERE {IS_DUE} ORDER BY due_at DESC LIMIT {FEW_NEW})
SELECT id, webhook_id, priority FROM newest n WHERE (
    SELECT o.id FROM {{delivery}} o WHERE o.webhook_id = n.webhook_id AND o.priority = n.priority AND o.lease <> %(token)s
        AND o.due_at <= (SELECT MIN(due_at) FROM newest HAVING COUNT(*) = {FEW_NEW}) LIMIT 1) IS NULL
ORDER BY due_at, id"""  # noqa: S608 (all of it is here)


class Claim(NamedTuple):
    """What a worker got to send.

    ``held_up`` are the webhooks that may have more due and have no place for it now; ``is_all`` says that all that is due was
    looked at.
    """

    outgoing_requests: list[OutgoingRequest]
    held_up: Collection[int] = ()
    is_all: bool = True


def claim(
    *,
    token: str,
    now: datetime,
    until: datetime,
    room: int,
    prefetch: Prefetch = lambda _webhook_id, cap: cap,
    only_new: bool = False,
) -> Claim:
    """Lease up to ``room`` deliveries to the holder of ``token`` until ``until``.

    Webhooks that have as many in flight as they may, are paused, or have used up their rate are left out, whoever
    sends to them; of the others the least recently served come first. The rows of a worker that died are due when its
    lease is over.

    With ``only_new`` it looks at a few that came due last, and takes none of a webhook for which older ones wait: however
    much is due that can't be sent now, as for a webhook that is paused, that is quick.
    """
    due = _read_due(NEWEST if only_new else OLDEST, token=token, now=now) if room > 0 else []
    if not due:
        return Claim([])
    all_due = due if only_new or len(due) < FEW else None
    candidates = _sendable(all_due, now, token=token, limit=room, prefetch=prefetch)
    places = capacities_of(candidates, now, prefetch=prefetch)
    chosen = {one.webhook.pk: one for one in candidates if places[one.webhook.pk].free > 0}
    if not chosen:
        return Claim([], places.keys(), is_all=all_due is not None)
    webhooks = [one.webhook for one in chosen.values()]
    found = next_of_each(webhooks, all_due, places=places, now=now, token=token, limit=room)
    taken = lease(found, candidates=chosen, token=token, now=now, until=until)
    counts = Counter(webhook_id for _pk, webhook_id in found)
    held_up = {pk for pk, place in places.items() if counts[pk] >= place.free}
    outgoing_requests = make_requests(taken, candidates=chosen, caps={pk: places[pk].cap for pk in chosen})
    return Claim(outgoing_requests, held_up, is_all=all_due is not None)


def next_due_at(now: datetime) -> datetime | None:
    """Return when the next delivery comes due that was not due at ``now``, or None where nothing waits."""
    later = Delivery.objects.filter(due_at__gt=now).order_by("due_at")
    return later.values_list("due_at", flat=True).first()


def _read_due(sql: str, *, token: str, now: datetime) -> list[DueDelivery]:
    """Return a few that are due, the longest due first."""
    return [
        DueDelivery(*row) for row in read_at_once("id, webhook_id, priority", sql, {"now": moment(now), "token": token})
    ]


def _sendable(
    all_due: Iterable[DueDelivery] | None, now: datetime, *, token: str, limit: int, prefetch: Prefetch
) -> list[Candidate]:
    """Return the webhooks that something can be sent to now, the least recently served first."""
    among: Collection[int] | None = None
    if all_due is not None:
        priorities: dict[int, set[int]] = defaultdict(set)
        for line in all_due:
            priorities[line.webhook_id].add(line.priority)
        candidates = candidates_with_keys(priorities, token=token, now=now)
        if not any(one.webhook.ordered for one in candidates):
            sendable = [one for one in candidates if _can_send(one, priorities[one.webhook.pk], now)]
            return sorted(sendable, key=_turn)[:limit]
        among = priorities.keys()
    return sorted(candidates_with_work(among, token=token, now=now, limit=limit, prefetch=prefetch), key=_turn)


def _can_send(candidate: Candidate, priorities: Collection[int], now: datetime) -> bool:
    """Say of a webhook that is not ordered what `WITH_WORK` says of all; what its limits say is asked later."""
    if candidate.webhook.deleted_at is not None:
        return False
    return Priority.MANUAL in priorities or (
        candidate.webhook.is_awake(now)
        and (Priority.LIVE in priorities or (Priority.REPLAY in priorities and not candidate.in_flight.replays))
    )


def _turn(candidate: Candidate) -> tuple[datetime, int]:
    return candidate.webhook.served_at or LONG_AGO, candidate.webhook.pk


TICK = timedelta(microseconds=1)

# The id as text: a million UUID objects a day that nobody looks into.
COLUMNS = "d.id, d.webhook_id, d.attempts, d.charged, d.priority, CAST(e.uid AS CHAR(36)), e.body, e.occurred_at"
SERVED_AT = "SELECT id, served_at FROM {webhook} WHERE id IN ({ids}) {lock}"

SERVED = "UPDATE {webhook} SET served_at = %s WHERE id IN ({ids})"

HELD = f"""
SELECT {COLUMNS} FROM {{delivery}} d JOIN {{event}} e ON e.id = d.event_id
WHERE d.id IN ({{ids}}) AND d.status = 'in_flight' AND d.lease = %s ORDER BY d.priority, d.id"""  # noqa: S608 (names of ours)

# All of it in one round trip, for PostgreSQL. The time is compared once more on a row that was changed meanwhile. A
# truth value, because it would rather read the index of all that is due than the rows of these keys.
LEASE_SQL = f"""
WITH seen AS (SELECT * FROM unnest(%(webhooks)s::bigint[], %(seen_at)s::timestamptz[]) AS s (id, served_at)),
locked AS (
    SELECT w.id FROM {{webhook}} w JOIN seen ON seen.id = w.id
    WHERE w.id = ANY(%(webhooks)s::bigint[]) AND w.served_at IS NOT DISTINCT FROM seen.served_at
    FOR UPDATE OF w SKIP LOCKED),
served AS (UPDATE {{webhook}} SET served_at = %(served_at)s WHERE id IN (SELECT id FROM locked)),
found AS (
    SELECT f.id FROM unnest(%(ids)s::bigint[], %(webhook_ids)s::bigint[]) AS f (id, webhook_id)
    JOIN locked ON locked.id = f.webhook_id),
d AS (
    UPDATE {{delivery}} SET status = 'in_flight', lease = %(token)s, due_at = %(until)s
    WHERE id = ANY(ARRAY(SELECT id FROM found)) AND (due_at <= %(now)s) IS TRUE
    RETURNING id, webhook_id, event_id, attempts, charged, priority)
SELECT {COLUMNS} FROM d JOIN {{event}} e ON e.id = d.event_id CROSS JOIN ({NOT_AT_ONCE}) AS n ORDER BY d.priority, d.id"""  # noqa: S608 (names of ours)


def lease(
    found: Sequence[tuple[int, int]],
    *,
    candidates: Mapping[int, Candidate],
    token: str,
    now: datetime,
    until: datetime,
) -> list[ClaimedDelivery]:
    """Lease the deliveries in ``found``, (delivery, webhook) each, to the holder of ``token``; return those it holds.

    ``candidates`` are all that were asked, also those of which nothing was found: they must not come first again. One
    that another worker has served since it was seen, or serves now, is left to it, or both could fill its cap.
    """
    seen_at = {pk: candidate.seen_at for pk, candidate in candidates.items()}
    webhooks = {pk: candidate.webhook for pk, candidate in candidates.items()}
    # Later than ever before, also where the clock was set back: it tells that somebody was here.
    served_at = max(
        [now, *(webhook.served_at + TICK for webhook in webhooks.values() if webhook.served_at is not None)]
    )
    limited = any(tokens_of(webhook, now) is not None for webhook in webhooks.values())
    if database().vendor == "postgresql" and not limited:
        return _lease_in_one_statement(found, seen_at, token=token, now=now, until=until, served_at=served_at)
    with brief_write(durable=False):
        rows = read(SERVED_AT, ids=numbers(webhooks), lock=for_update(skip_locked=True))
        ours = {pk for pk, served in rows if served == seen_at[pk]}
        write(SERVED, [moment(served_at)], ids=numbers(ours))
        ids = [pk for pk, webhook_id in found if webhook_id in ours]
        if ids:
            Delivery.objects.lease(ids, token=token, now=now, until=until)
            _spend_tokens(webhooks, Counter(webhook_id for _pk, webhook_id in found if webhook_id in ours), now=now)
    return claimed_deliveries(ids, token=token) if ids else []


def claimed_deliveries(ids: Iterable[int], *, token: str) -> list[ClaimedDelivery]:
    """Read those of these deliveries that the holder of ``token`` holds."""
    with undisturbed():
        rows = read(HELD, [token], ids=numbers(ids))
    return _taken(rows)


def _lease_in_one_statement(
    found: Sequence[tuple[int, int]],
    seen_at: Mapping[int, Any],
    *,
    token: str,
    now: datetime,
    until: datetime,
    served_at: datetime,
) -> list[ClaimedDelivery]:
    params = {
        "webhooks": array(seen_at),
        "seen_at": array(seen_at.values()),
        "served_at": served_at,
        "ids": array(pk for pk, _webhook_id in found),
        "webhook_ids": array(webhook_id for _pk, webhook_id in found),
        "token": token,
        "now": now,
        "until": until,
    }
    return _taken(read_prepared(LEASE_SQL, params))


def _taken(rows: Iterable[Sequence[Any]]) -> list[ClaimedDelivery]:
    # SQLite and MariaDB return times without a zone.
    column = column_of(Event._meta.get_field("occurred_at"), Event)
    converters = converters_of(column, database())
    found = [ClaimedDelivery(*row) for row in rows]
    for convert in converters:
        found = [one._replace(occurred_at=convert(one.occurred_at, column, database())) for one in found]
    return found


def _spend_tokens(webhooks: Mapping[int, Webhook], taken: Mapping[int, int], *, now: datetime) -> None:
    for pk, count in taken.items():
        tokens = tokens_of(webhooks[pk], now)
        if tokens is not None:
            Webhook.objects.filter(pk=pk).update(tokens=tokens - count, tokens_at=now)
