"""From events to deliveries, many at once."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import accumulate, zip_longest
from time import monotonic
from typing import Any

from django.db import transaction

from tms_webhooks import catalogue
from tms_webhooks.db.sql import array, database, for_update, moment, numbers, read, read_at_once, read_prepared, write
from tms_webhooks.db.writer import brief_write, has_one_writer, others_write
from tms_webhooks.exceptions import WebhooksError
from tms_webhooks.models import Event
from tms_webhooks.models.audience import subject_webhook_id
from tms_webhooks.outbox import fanout_sql
from tms_webhooks.outbox.fanout_sql import EventGroup, FanOutPlan
from tms_webhooks.payloads.envelope import from_text

BATCH = 400
BATCH_BESIDE_OTHERS = 150
DELIVERIES_OF_ONE_WRITER = 2_000
DELIVERIES_BESIDE_OTHERS = 300
"""On SQLite everybody else who saves something waits while a batch is written: of so many events, or so many deliveries."""
WINDOW = 500
"""So many of the newest events are looked through for those of other organizations."""

WATCH_PAUSE = 10.0

logger = logging.getLogger(__name__)
_watched_until: dict[str, float] = {}

Groups = Mapping[EventGroup, Sequence[int]]


# All in the order of the index tms_event_to_fan_out: PostgreSQL may take the few that it expects for a reason to read
# all that there are, or all that ever were.
TO_FAN_OUT = """
SELECT id, type, subject_id, organization_id FROM {event} WHERE fanned_out_at IS NULL
ORDER BY fanned_out_at, id LIMIT %(limit)s"""

# Where there are more than one batch takes: the first of the newest that are of other organizations than the oldest.
OF_NEIGHBOURS = """
SELECT * FROM (
    SELECT id, type, subject_id, organization_id FROM {event} WHERE fanned_out_at IS NULL
    ORDER BY fanned_out_at DESC, id DESC LIMIT %s
) newest
WHERE organization_id NOT IN ({known})"""

# Until the transaction ends.
SORTING = "SELECT set_config('enable_sort', %s, true)"

# By their keys, in MariaDB, too: on another index two workers lock what lies between their events, and wait for each other.
LOCKED = "SELECT id FROM {event} {by_key} WHERE id IN ({ids}) AND fanned_out_at IS NULL ORDER BY id {lock}"

FANNED_OUT = "UPDATE {event} {by_key} SET fanned_out_at = %s WHERE id IN ({ids}) AND fanned_out_at IS NULL"

# Both in one, for PostgreSQL.
TAKEN = f"{fanout_sql.LOCKED} {fanout_sql.MARKED} id"


def fan_out(now: datetime, *, limit: int | None = None) -> int:
    """Make the deliveries of up to ``limit`` new events, or as many as are a batch; return how many events that were.

    The oldest come first. Where one organization has more of them than that, what just happened in others gets half of
    the places: they need not wait for ten thousand of somebody else's. What is sent in order still is: see `pick.IN_TURN`.
    Events and deliveries change in one transaction, and a second worker at the same time takes other events, so none
    gets its deliveries twice.
    """
    is_brief = others_write()
    found = _next(limit or (BATCH_BESIDE_OTHERS if is_brief else BATCH))
    if not found:
        return 0
    plan = FanOutPlan.of_today()
    if has_one_writer():
        found = _as_many_as_fit(found, plan, most=DELIVERIES_BESIDE_OTHERS if is_brief else DELIVERIES_OF_ONE_WRITER)
    ours = _carry_out(plan, _groups(found), now)
    _watch_schemas(ours)
    return sum(map(len, ours.values()))


def _carry_out(plan: FanOutPlan, groups: Groups, now: datetime) -> Groups:
    """Make the deliveries, and return those of the events that no other worker had."""
    if fanout_sql.is_enough(plan):
        return _of(groups, fanout_sql.fan_out(groups, now=now))
    with brief_write():
        taken = set(_taken([pk for ids in groups.values() for pk in ids], now))
        ours = _of(groups, taken)
        plan.carry_out(ours, now=now)
        if database().vendor != "postgresql":
            write(FANNED_OUT, [moment(now)], ids=numbers(taken), by_key=_by_key())
    return ours


def _groups(found: Iterable[tuple[Any, ...]]) -> Groups:
    groups: dict[EventGroup, list[int]] = defaultdict(list)
    for pk, event_type, subject_id, _organization in found:
        groups[EventGroup(event_type, subject_webhook_id(event_type, subject_id))].append(pk)
    return groups


def _of(groups: Groups, ours: Collection[int]) -> Groups:
    """Keep those of the events that are ours."""
    kept = {group: [pk for pk in ids if pk in ours] for group, ids in groups.items()}
    return {group: ids for group, ids in kept.items() if ids}


def _next(limit: int) -> list[tuple[Any, ...]]:
    """Return the events to take next: the key of each, what `Group` needs to know of it, and its organization."""
    oldest = read_at_once("id, type, subject_id, organization_id", TO_FAN_OUT, {"limit": limit})
    if len(oldest) < limit or limit < 2:
        return oldest
    known = list({organization for *_of, organization in oldest})
    with _in_order_of_index():
        found = read(OF_NEIGHBOURS, [WINDOW, *known], known=", ".join(["%s"] * len(known)))
    others = sorted(found)[: limit // 2]
    # They take turns, so that it is fair also where not all of them fit.
    turns = zip_longest(oldest[: limit - len(others)], others)
    return [one for turn in turns for one in turn if one is not None]


@contextmanager
def _in_order_of_index() -> Iterator[None]:
    """Keep PostgreSQL from sorting all that waits, where it expects that to be a few: it learns of many a minute later."""
    connection = database()
    if connection.vendor != "postgresql":
        yield
        return
    is_inside = connection.in_atomic_block
    with transaction.atomic(using=connection.alias):
        read(SORTING, ["off"])
        yield
        if is_inside:
            read(SORTING, ["on"])


def _as_many_as_fit(found: Sequence[tuple[Any, ...]], plan: FanOutPlan, *, most: int) -> list[tuple[Any, ...]]:
    """Keep the first of these events, as many as have no more deliveries than ``most``.

    One at least, and one of a neighbour. Those of one type and organization are taken to go to as many webhooks.
    """
    first: dict[tuple[Any, Any], tuple[Any, ...]] = {}
    for line in found:
        first.setdefault(_kind(line), line)
    reach = plan.reach(_groups(first.values()))
    totals = accumulate(reach.get(first[_kind(line)][0], 0) for line in found)
    fitting = sum(1 for total in totals if total <= most)
    least = len({organization for *_of, organization in found[:2]})
    return list(found[: max(least, fitting)])


def _kind(line: tuple[Any, ...]) -> tuple[Any, Any]:
    _pk, event_type, *_of, organization = line
    return event_type, organization


def _taken(ids: Collection[int], now: datetime) -> Collection[int]:
    """Keep those that no other worker is about to fan out. Where there is one writer it asks nobody."""
    if has_one_writer():
        return ids
    if database().vendor == "postgresql":
        rows = read_prepared(TAKEN, {"ids": array(ids), "now": now})
    else:
        rows = read(LOCKED, ids=numbers(ids), by_key=_by_key(), lock=for_update(skip_locked=True))
    return [pk for (pk,) in rows]


def _by_key() -> str:
    return "FORCE INDEX (PRIMARY)" if database().vendor == "mysql" else ""


def _watch_schemas(groups: Groups) -> None:
    """Log where payloads break their schema. One event of a type in a while is proof enough, and all are sent."""
    for (event_type, *_others), ids in groups.items():
        if monotonic() < _watched_until.get(event_type, 0.0):
            continue
        _watched_until[event_type] = monotonic() + WATCH_PAUSE
        body = Event.objects.filter(pk=ids[0]).values_list("body", flat=True).first()
        try:
            catalogue.get(event_type).validate(from_text(body or "{}"))
        except (WebhooksError, ValueError) as error:
            logger.error("Event %s is sent although it is not as promised: %s", ids[0], error)
