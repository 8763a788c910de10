"""Which deliveries of some webhooks go next. Reads only; `claim` holds the webhooks and takes what is found."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from tms_webhooks.choices import Lane
from tms_webhooks.delivery.limits import Place
from tms_webhooks.models import Webhook
from tms_webhooks.models.statements import database, moment, read, read_at_once

# SQLite takes a union of 500 selects.
SELECTS_AT_ONCE = 450

# A worker's own rows that have run out are still in its hands: claiming them again would send them twice.
IS_DUE = "d.due_at <= %(now)s AND d.lease <> %(token)s"

NOTHING_EARLIER = """NOT EXISTS (
        SELECT 1 FROM {delivery} o WHERE o.webhook_id = d.webhook_id AND o.order_key = d.order_key
        AND o.due_at IS NOT NULL AND o.event_id < d.event_id)"""

# Nothing earlier of the same object is open, nor about to be: another worker may be fanning it out just now.
IN_TURN = f"""
    AND {NOTHING_EARLIER}
    AND NOT EXISTS (SELECT 1 FROM {{event}} e WHERE e.fanned_out_at IS NULL AND e.subject_key = d.order_key
        AND e.id < d.event_id)"""  # noqa: S608 (names of ours)

# No database has a limit per group that stops at the index: PostgreSQL gets a loop, which it plans at once however many
# webhooks there are, and the others a union; nested, because SQLite wants it so.
NEXT_OF_ALL = """
SELECT d.id, d.webhook_id, d.lane FROM (VALUES {wants}) AS w (id, lane) CROSS JOIN LATERAL (
    SELECT id, webhook_id, lane FROM {{delivery}} d
    WHERE webhook_id = w.id AND lane = w.lane AND {is_due}{in_turn} ORDER BY due_at, id LIMIT {most}) d"""

NEXT_OF_ONE = """SELECT id, webhook_id, lane FROM (
    SELECT id, webhook_id, lane FROM {{delivery}} d
    WHERE webhook_id = {webhook_id} AND lane = {lane} AND {is_due}{in_turn}
    ORDER BY due_at, id LIMIT {most}) u"""


class Due(NamedTuple):
    """A delivery that is due."""

    pk: int
    webhook_id: int
    lane: int


class Want(NamedTuple):
    """At most so many deliveries of one lane of a webhook; only those in turn, where it is ordered."""

    webhook_id: int
    lane: int
    most: int
    in_turn: bool


def next_of_each(
    webhooks: Sequence[Webhook],
    all_due: Iterable[Due] | None,
    *,
    places: Mapping[int, Place],
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
    wants = list(_wants(webhooks, places, now, most=share))
    if all_due is None or any(want.in_turn for want in wants):
        all_due = _read(wants, now=now, token=token)
    rows: dict[int, list[Due]] = defaultdict(list)
    for line in _only(all_due, wants):
        rows[line.webhook_id].append(line)
    in_turns = [
        (turn, rank, line.pk, webhook.pk)
        for rank, webhook in enumerate(webhooks)
        # By the lane alone: within it they come as they are due.
        for turn, line in enumerate(sorted(rows[webhook.pk], key=lambda line: line.lane)[: places[webhook.pk].free])
    ]
    return [(pk, webhook_id) for _turn, _rank, pk, webhook_id in sorted(in_turns)[:limit]]


def _only(lines: Iterable[Due], wants: Iterable[Want]) -> Iterator[Due]:
    """Keep no more of each lane of a webhook than is wanted."""
    left = Counter({(want.webhook_id, want.lane): want.most for want in wants})
    for line in lines:
        left[line.webhook_id, line.lane] -= 1
        if left[line.webhook_id, line.lane] >= 0:
            yield line


def _wants(webhooks: Iterable[Webhook], places: Mapping[int, Place], now: datetime, *, most: int) -> Iterable[Want]:
    for webhook in webhooks:
        place = places[webhook.pk]
        lanes = {Lane.BY_HAND: place.free}
        if webhook.is_awake(now):
            lanes |= {Lane.LIVE: place.free, Lane.REPLAY: place.replays}
        for lane, free in lanes.items():
            if free > 0:
                # A person who sends one again does not mean to wait for its turn.
                yield Want(webhook.pk, lane.value, min(free, most), in_turn=webhook.ordered and lane != Lane.BY_HAND)


def _read(wants: Sequence[Want], *, now: datetime, token: str) -> Iterator[Due]:
    """Read the longest due: one range of the index ``tms_delivery_claim`` for each; maybe more than is wanted."""
    if database().vendor == "postgresql":
        for in_turn in (False, True):
            yield from _loop([want for want in wants if want.in_turn is in_turn], now=now, token=token)
        return
    for start in range(0, len(wants), SELECTS_AT_ONCE):
        some = wants[start : start + SELECTS_AT_ONCE]
        sql = " UNION ALL ".join(
            NEXT_OF_ONE.format(
                webhook_id=webhook_id, lane=lane, most=most, is_due=IS_DUE, in_turn=IN_TURN if in_turn else ""
            )
            for webhook_id, lane, most, in_turn in some
        )
        yield from itertools.starmap(
            Due, read_at_once("id, webhook_id, lane", sql, {"now": moment(now), "token": token})
        )


def _loop(wants: Sequence[Want], *, now: datetime, token: str) -> Iterator[Due]:
    if not wants:
        return
    sql = NEXT_OF_ALL.format(
        wants=", ".join(f"({want.webhook_id}, {want.lane})" for want in wants),
        # The same for all: PostgreSQL takes a limit that differs for a reason to compile the query.
        most=max(want.most for want in wants),
        is_due=IS_DUE,
        in_turn=IN_TURN if wants[0].in_turn else "",
    )
    yield from itertools.starmap(Due, read(sql, {"now": moment(now), "token": token}))
