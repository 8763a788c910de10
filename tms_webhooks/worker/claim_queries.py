"""Which deliveries of some webhooks go next. Reads only; `claim` holds the webhooks and takes what is found."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from tms_webhooks.choices import Priority
from tms_webhooks.db.rows import columns_of, instances
from tms_webhooks.db.sql import array, database, filled, moment, numbers, read, read_at_once, read_prepared
from tms_webhooks.models import Webhook
from tms_webhooks.models.encryption import Sealed
from tms_webhooks.models.webhook import SIGNS
from tms_webhooks.worker.concurrency import LIMITING, Capacity, InFlight, Prefetch, capacity_of

# SQLite takes a union of 500 selects.
SELECTS_AT_ONCE = 450

# A worker's own rows that have run out are still in its hands: claiming them again would send them twice.
IS_DUE = "d.due_at <= %(now)s AND d.lease <> %(token)s"

NOTHING_EARLIER = """NOT EXISTS (
        SELECT 1 FROM {delivery} o WHERE o.webhook_id = d.webhook_id AND o.order_key = d.order_key
        AND o.due_at IS NOT NULL AND o.event_id < d.event_id)"""

# Nothing earlier of the same object is open, nor about to be: another worker may be fanning it out just now.
FIRST_OF_SUBJECT = f"""
    AND {NOTHING_EARLIER}
    AND NOT EXISTS (SELECT 1 FROM {{event}} e WHERE e.fanned_out_at IS NULL AND e.subject_key = d.order_key
        AND e.id < d.event_id)"""  # noqa: S608 (names of ours)

# No database has a limit per group that stops at the index: PostgreSQL gets a loop, which it plans at once however many
# webhooks there are, and the others a union; nested, because SQLite wants it so.
NEXT_OF_ALL = """
SELECT d.id, d.webhook_id, d.priority FROM (VALUES {wants}) AS w (id, priority) CROSS JOIN LATERAL (
    SELECT id, webhook_id, priority FROM {{delivery}} d
    WHERE webhook_id = w.id AND priority = w.priority AND {is_due}{in_turn} ORDER BY due_at, id LIMIT {most}) d"""

NEXT_OF_ONE = """SELECT id, webhook_id, priority FROM (
    SELECT id, webhook_id, priority FROM {{delivery}} d
    WHERE webhook_id = {webhook_id} AND priority = {priority} AND {is_due}{in_turn}
    ORDER BY due_at, id LIMIT {most}) u"""


class DueDelivery(NamedTuple):
    """A delivery that is due."""

    pk: int
    webhook_id: int
    priority: int


class ClaimQuota(NamedTuple):
    """At most so many deliveries of one priority of a webhook; only those in turn, where it is ordered."""

    webhook_id: int
    priority: int
    most: int
    in_turn: bool


def next_of_each(
    webhooks: Sequence[Webhook],
    all_due: Iterable[DueDelivery] | None,
    *,
    places: Mapping[int, Capacity],
    now: datetime,
    token: str,
    limit: int,
) -> list[tuple[int, int]]:
    """Return (delivery, webhook) of what goes next, the first of each webhook, as they come, before the second of any.

    What is replayed goes one at a time, and only where less that is live is due than there is place for. ``all_due`` is
    all that is due, where that is known; what is in turn has to be asked for all the same.
    """
    # More than a fair share of each is read in vain where all have plenty.
    share = max(1, -(-2 * limit // max(1, len(webhooks))))
    wants = list(_quotas(webhooks, places, now, most=share))
    if all_due is None or any(want.in_turn for want in wants):
        all_due = _read_due(wants, now=now, token=token)
    rows: dict[int, list[DueDelivery]] = defaultdict(list)
    for line in _within_quotas(all_due, wants):
        rows[line.webhook_id].append(line)
    in_turns = [
        (turn, rank, line.pk, webhook.pk)
        for rank, webhook in enumerate(webhooks)
        # By the priority alone: within it they come as they are due.
        for turn, line in enumerate(sorted(rows[webhook.pk], key=lambda line: line.priority)[: places[webhook.pk].free])
    ]
    return [(pk, webhook_id) for _turn, _rank, pk, webhook_id in sorted(in_turns)[:limit]]


def _within_quotas(lines: Iterable[DueDelivery], wants: Iterable[ClaimQuota]) -> Iterator[DueDelivery]:
    """Keep no more of each priority of a webhook than is wanted."""
    left = Counter({(want.webhook_id, want.priority): want.most for want in wants})
    for line in lines:
        left[line.webhook_id, line.priority] -= 1
        if left[line.webhook_id, line.priority] >= 0:
            yield line


def _quotas(
    webhooks: Iterable[Webhook], places: Mapping[int, Capacity], now: datetime, *, most: int
) -> Iterable[ClaimQuota]:
    for webhook in webhooks:
        place = places[webhook.pk]
        priorities = {Priority.MANUAL: place.free}
        if webhook.is_awake(now):
            priorities |= {Priority.LIVE: place.free, Priority.REPLAY: place.replays}
        for priority, free in priorities.items():
            if free > 0:
                # A person who sends one again does not mean to wait for its turn.
                yield ClaimQuota(
                    webhook.pk, priority.value, min(free, most), in_turn=webhook.ordered and priority != Priority.MANUAL
                )


def _read_due(wants: Sequence[ClaimQuota], *, now: datetime, token: str) -> Iterator[DueDelivery]:
    """Read the longest due: one range of the index ``tms_delivery_claim`` for each; maybe more than is wanted."""
    if database().vendor == "postgresql":
        for in_turn in (False, True):
            yield from _read_due_lateral([want for want in wants if want.in_turn is in_turn], now=now, token=token)
        return
    for start in range(0, len(wants), SELECTS_AT_ONCE):
        some = wants[start : start + SELECTS_AT_ONCE]
        sql = " UNION ALL ".join(
            NEXT_OF_ONE.format(
                webhook_id=webhook_id,
                priority=priority,
                most=most,
                is_due=IS_DUE,
                in_turn=FIRST_OF_SUBJECT if in_turn else "",
            )
            for webhook_id, priority, most, in_turn in some
        )
        yield from itertools.starmap(
            DueDelivery, read_at_once("id, webhook_id, priority", sql, {"now": moment(now), "token": token})
        )


def _read_due_lateral(wants: Sequence[ClaimQuota], *, now: datetime, token: str) -> Iterator[DueDelivery]:
    if not wants:
        return
    sql = NEXT_OF_ALL.format(
        wants=", ".join(f"({want.webhook_id}, {want.priority})" for want in wants),
        # The same for all: PostgreSQL takes a limit that differs for a reason to compile the query.
        most=max(want.most for want in wants),
        is_due=IS_DUE,
        in_turn=FIRST_OF_SUBJECT if wants[0].in_turn else "",
    )
    yield from itertools.starmap(DueDelivery, read(sql, {"now": moment(now), "token": token}))


# The time is compared by a truth value, or PostgreSQL may read the index of all that is due later: what is in flight is
# far less.
WEBHOOKS = """
SELECT {columns}, w.served_at, w.held, w.mine, w.replays, {sealed} FROM (
    SELECT w.*, f.held, f.mine, f.replays FROM {webhook} w LEFT JOIN (
        SELECT webhook_id, COUNT(*) AS held, SUM(CASE WHEN lease = %(token)s THEN 1 ELSE 0 END) AS mine,
            SUM(CASE WHEN priority = 2 THEN 1 ELSE 0 END) AS replays
        FROM {delivery} WHERE status = 'in_flight' AND (due_at > %(now)s) IS TRUE GROUP BY webhook_id
    ) f ON f.webhook_id = w.id WHERE {which}
) w {secrets}"""

# A row for each secret that signs.
SECRETS = f"LEFT JOIN {{webhooksecret}} s ON s.webhook_id = w.id AND {SIGNS} ORDER BY w.id, s.id DESC"

LIMITED = "f.webhook_id IS NOT NULL OR w.rate_limit_per_second IS NOT NULL AND w.tokens < 1"

# What is resent by hand (priority 0) goes out also where everything else has to wait. Of the others, an ordered webhook
# needs one that is in turn, and what is replayed (priority 2) waits for the one before it.
WITH_WORK = f"""
w.deleted_at IS NULL {{among}} AND w.id NOT IN ({{full}}) AND (
  w.enabled AND (w.paused_until IS NULL OR w.paused_until <= %(now)s) AND CASE WHEN w.ordered THEN
    EXISTS (SELECT 1 FROM {{delivery}} d {{by_claim}} WHERE d.webhook_id = w.id AND d.priority IN (1, 2) AND {IS_DUE}
      AND {NOTHING_EARLIER})
  ELSE
    EXISTS (SELECT 1 FROM {{delivery}} d {{by_claim}} WHERE d.webhook_id = w.id AND d.priority = 1 AND {IS_DUE})
    OR COALESCE(f.replays, 0) = 0 AND
    EXISTS (SELECT 1 FROM {{delivery}} d {{by_claim}} WHERE d.webhook_id = w.id AND d.priority = 2 AND {IS_DUE})
  END
  OR EXISTS (SELECT 1 FROM {{delivery}} d {{by_claim}} WHERE d.webhook_id = w.id AND d.priority = 0 AND {IS_DUE}))
ORDER BY w.served_at IS NOT NULL, w.served_at, w.id
LIMIT %(limit)s"""  # noqa: S608 (names of ours)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A webhook, and the secrets that sign for it, the newest first.

    ``seen_at`` is when it was served last, in the database's own words.
    """

    webhook: Webhook
    sealed: Sequence[Sealed] = ()
    in_flight: InFlight = field(default_factory=InFlight)
    seen_at: Any = None


def candidates_with_keys(webhooks: Collection[int], *, token: str, now: datetime) -> list[Candidate]:
    """Return the webhooks with these keys, as far as there are any."""
    params = {"token": token, "now": moment(now)}
    if database().vendor == "postgresql":
        params["ids"] = array(webhooks)
        return _candidates(read_prepared(WEBHOOKS, params, **_statement_parts("w.id = ANY(%(ids)s::bigint[])")))
    return _candidates(read(WEBHOOKS, params, **_statement_parts(f"w.id IN ({numbers(webhooks)})")))


def candidates_with_work(
    among: Collection[int] | None, *, token: str, now: datetime, limit: int, prefetch: Prefetch
) -> list[Candidate]:
    """Return up to ``limit`` of the webhooks that something is due for, the least recently served first.

    Those that are full may be among them, where there are fewer than that. ``among`` are the only ones to ask, if not None.
    """
    found = _read_candidates_with_work(among, (), token=token, now=now, limit=limit)
    if len(found) < limit:
        return found
    # Those that are full must not take the places of others.
    names = ("id", *LIMITING)
    parts = {"columns": columns_of(Webhook, "w", names), "sealed": "NULL", "secrets": "", "which": LIMITED}
    held_up = _candidates(read(WEBHOOKS, {"token": token, "now": moment(now)}, **parts), names=names)
    full = [pk for pk, place in capacities_of(held_up, now, prefetch=prefetch).items() if place.free <= 0]
    return _read_candidates_with_work(among, full, token=token, now=now, limit=limit) if full else found


def _read_candidates_with_work(
    among: Collection[int] | None, full: Collection[int], *, token: str, now: datetime, limit: int
) -> list[Candidate]:
    which = filled(
        WITH_WORK,
        among="" if among is None else f"AND w.id IN ({numbers(among)})",
        full=numbers(full),
        # Left to itself, MariaDB reads the whole table.
        by_claim="FORCE INDEX (tms_delivery_claim)" if database().vendor == "mysql" else "",
    )
    return _candidates(read(WEBHOOKS, {"token": token, "now": moment(now), "limit": limit}, **_statement_parts(which)))


def _statement_parts(which: str) -> dict[str, str]:
    return {"columns": columns_of(Webhook, "w"), "sealed": "s.value", "secrets": filled(SECRETS), "which": which}


def capacities_of(candidates: Iterable[Candidate], now: datetime, *, prefetch: Prefetch) -> Mapping[int, Capacity]:
    """Return what this worker may do for each, by its key."""
    return {
        one.webhook.pk: capacity_of(one.webhook, now, in_flight=one.in_flight, prefetch=prefetch) for one in candidates
    }


def _candidates(rows: Iterable[Sequence[Any]], *, names: tuple[str, ...] = ()) -> list[Candidate]:
    found: dict[int, Candidate] = {}
    for webhook, (seen_at, held, mine, replays, token) in instances(Webhook, rows, names=names):
        sealed = () if token is None else (Sealed(token),)
        if webhook.pk in found:
            found[webhook.pk] = replace(found[webhook.pk], sealed=(*found[webhook.pk].sealed, *sealed))
            continue
        mine = int(mine or 0)
        in_flight = InFlight(mine=mine, others=int(held or 0) - mine, replays=int(replays or 0))
        found[webhook.pk] = Candidate(webhook, sealed, in_flight, seen_at)
    return list(found.values())
