"""From events to deliveries, many at once."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import product
from time import monotonic
from typing import NamedTuple

from django.db.models.constants import OnConflict

from tms_webhooks import catalogue, event_names
from tms_webhooks.choices import Audience, DeliveryStatus, Lane
from tms_webhooks.exceptions import WebhooksError
from tms_webhooks.models import Event
from tms_webhooks.models.audience import BY, FROM_BELOW, LEARNER, LINES, OWNER, Way
from tms_webhooks.models.statements import database, filled, for_update, moment, numbers, read, write
from tms_webhooks.models.tree import names, parent_column
from tms_webhooks.models.writer import brief_write
from tms_webhooks.payloads.envelope import from_text

BATCH = 200
LONGEST_KEY = 18

WATCH_PAUSE = 10.0

logger = logging.getLogger(__name__)
_watched_until: dict[str, float] = {}


class Group(NamedTuple):
    """Events that are fanned out alike: of one type, and none of them to the webhook that they speak of."""

    event_type: str
    spoken_of: int


TO_FAN_OUT = "SELECT id, type, subject_id FROM {event} WHERE fanned_out_at IS NULL ORDER BY id LIMIT %s"

# By their keys, in MariaDB, too: on another index two workers lock what lies between their events, and wait for each other.
LOCKED = "SELECT id FROM {event} {by_key} WHERE id IN ({ids}) AND fanned_out_at IS NULL ORDER BY id {lock}"

FANNED_OUT = "UPDATE {event} {by_key} SET fanned_out_at = %s WHERE id IN ({ids}) AND fanned_out_at IS NULL"

# What webhooks want beyond the plain: a first attempt that is held back, or events of others than their organization.
EXTRAS = """
SELECT DISTINCT delay_seconds, audience, include_children FROM {webhook}
WHERE deleted_at IS NULL AND (delay_seconds > 0 OR audience <> 'owner' OR include_children)"""

# One row for each webhook that wants an event. Events of a disabled webhook are kept as skipped, for a later replay.
FAN_OUT = """
{insert} {delivery} (
    event_id, webhook_id, status, due_at, lane, order_key, lease, attempts, charged, error_class,
    created_at, finished_at
)
{lines}
SELECT e.id, w.id,
       CASE WHEN w.enabled THEN %s ELSE %s END,
       CASE WHEN w.enabled THEN %s ELSE NULL END,
       {live}, CASE WHEN w.ordered THEN e.subject_key ELSE NULL END, '', 0, 0, '', %s,
       CASE WHEN w.enabled THEN NULL ELSE %s END
FROM {reached}
WHERE e.id IN ({ids}) {still} AND w.deleted_at IS NULL AND w.delay_seconds = %s AND w.id <> %s
  AND EXISTS (
    SELECT 1 FROM {subscription} s
    WHERE s.webhook_id = w.id AND s.event_type IN ({patterns}) AND (e.subscription_id IS NULL OR e.subscription_id = s.id)
  )
{suffix}
"""


def fan_out(now: datetime, *, limit: int = BATCH) -> int:
    """Make the deliveries of up to ``limit`` new events; return how many events that were.

    Events and deliveries change in one transaction, and a second worker at the same time takes other events, so none
    gets its deliveries twice.
    """
    found = read(TO_FAN_OUT, [limit])
    if not found:
        return 0
    delays, ways = _extras()
    with brief_write():
        ours = set(_locked([pk for pk, *_of in found]))
        groups: dict[Group, list[int]] = defaultdict(list)
        for pk, event_type, subject_id in found:
            if pk in ours:
                groups[Group(event_type, spoken_of=_spoken_of(event_type, subject_id))].append(pk)
        for delay, way in product(delays, ways):
            for group, ids in groups.items():
                _insert(group, ids, way=way, delay=delay, now=now)
        done = write(FANNED_OUT, [moment(now)], ids=numbers(ours), by_key=_by_key())
    _watch_schemas(groups)
    return done


def _locked(ids: Collection[int]) -> Collection[int]:
    """Keep those that no other worker is about to fan out. Where there is one writer it asks nobody."""
    if not database().features.has_select_for_update:
        return ids
    rows = read(LOCKED, ids=numbers(ids), by_key=_by_key(), lock=for_update(skip_locked=True))
    return [pk for (pk,) in rows]


def _by_key() -> str:
    return "FORCE INDEX (PRIMARY)" if database().vendor == "mysql" else ""


def _spoken_of(event_type: str, subject_id: str) -> int:
    # A host may tell of webhooks of its own, which may have other keys than ours.
    is_key = subject_id.isdecimal() and len(subject_id) <= LONGEST_KEY
    return int(subject_id) if is_key and event_names.is_operational(event_type) else 0


def _extras() -> tuple[Collection[int], Collection[Way | None]]:
    """Return by how many seconds webhooks hold the first attempt back, and the ways by which events come to them.

    None is the way from an organization below.
    """
    found = read(EXTRAS)
    ways: list[Way | None] = [OWNER]
    if any(audience != Audience.OWNER.value for _delay, audience, _children in found):
        ways.append(LEARNER)
    if any(children for _delay, _audience, children in found) and parent_column() is not None:
        ways.append(None)
    return {0, *(delay for delay, _audience, _children in found)}, ways


def _insert(group: Group, ids: Iterable[int], *, way: Way | None, delay: int, now: datetime) -> None:
    ops, patterns, keys = database().ops, event_names.patterns_for(group.event_type), numbers(ids)
    statuses = [DeliveryStatus.PENDING.value, DeliveryStatus.SKIPPED.value]
    times = [moment(now + timedelta(seconds=delay)), moment(now), moment(now)]
    write(
        FAN_OUT,
        [*statuses, *times, delay, group.spoken_of, *patterns],
        insert=ops.insert_statement(on_conflict=OnConflict.IGNORE),
        suffix=ops.on_conflict_suffix_sql([], OnConflict.IGNORE, [], []),
        # Those that are locked are known not to be.
        still="" if database().features.has_select_for_update else "AND e.fanned_out_at IS NULL",
        lines=filled(LINES, ids=keys, **names(database().alias)) if way is None else "",
        reached=filled(FROM_BELOW if way is None else BY[way]),
        live=str(Lane.LIVE.value),
        ids=keys,
        patterns=", ".join(["%s"] * len(patterns)),
    )


def _watch_schemas(groups: Mapping[Group, Sequence[int]]) -> None:
    """Log where payloads break their schema. One event of a type in a while is proof enough, and all are sent."""
    for (event_type, _spoken_of), ids in groups.items():
        if monotonic() < _watched_until.get(event_type, 0.0):
            continue
        _watched_until[event_type] = monotonic() + WATCH_PAUSE
        body = Event.objects.filter(pk=ids[0]).values_list("body", flat=True).first()
        try:
            catalogue.get(event_type).validate(from_text(body or "{}"))
        except (WebhooksError, ValueError) as error:
            logger.error("Event %s is sent although it is not as promised: %s", ids[0], error)
