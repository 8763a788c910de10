"""Gives each event its sequence number when it is fanned out: from 1 for each object, without gaps, in the order of keys.

A save does not count, so that it has one statement less. One transaction at a time gives numbers. The events of one
object are committed in the order of their keys, because each change locks the object's row.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import partial
from typing import Any

from django.db import transaction

from tms_webhooks.db.sql import (
    ASYNCHRONOUS_COMMIT,
    among,
    as_json,
    database,
    filled,
    for_update,
    moment,
    read,
    recordset,
    write,
)
from tms_webhooks.models import Event, EventSequence, PeriodicRun
from tms_webhooks.models.drain import NUMBERING
from tms_webhooks.models.event import LONGEST_SUBJECT_KEY, owned_key
from tms_webhooks.outbox.fanout_sql import INSERT_DELIVERIES, Insertion

# The key of the object whose events are counted: its type, and its id or that of one of its owners' copies.
Counted = tuple[str, str]

# Locks new events that no other transaction has locked. Index: the primary key. ``IS TRUE`` hides the partial indexes.
# MariaDB is forced to use the key: on another index it locks the gaps where saves insert.
LOCK_EVENTS = """
SELECT id, CASE WHEN sequence IS NULL THEN 0 ELSE 1 END, CASE WHEN body = '' THEN 0 ELSE 1 END FROM {event} {by_key}
WHERE id {among} AND (fanned_out_at IS NULL) IS TRUE ORDER BY id {lock}"""

# The events without a number of the same objects, up to the newest of these. Where each owner has numbers of its own, those of
# other owners are left out. Index: tms_event_sequence_once.
UNNUMBERED_EVENTS = """
SELECT e.id, e.subject_type, e.subject_id, e.organization_id, CASE WHEN e.numbered_by_owner THEN 1 ELSE 0 END FROM (
    SELECT subject_type, subject_id, CASE WHEN numbered_by_owner THEN organization_id ELSE NULL END AS owner, MAX(id) AS newest
    FROM {event} WHERE id {among}
    GROUP BY subject_type, subject_id, CASE WHEN numbered_by_owner THEN organization_id ELSE NULL END
) s JOIN {event} e ON e.subject_type = s.subject_type AND e.subject_id = s.subject_id AND e.sequence IS NULL
    AND ((s.owner IS NULL AND NOT e.numbered_by_owner) OR (e.organization_id = s.owner AND e.numbered_by_owner))
WHERE (e.fanned_out_at IS NULL) IS TRUE AND e.id <= s.newest ORDER BY e.id LIMIT %(limit)s"""

# Counts the new events of each object, and returns its last number. Index: tms_event_sequence_of_subject.
COUNT = """
INSERT INTO {eventsequence} (subject_type, subject_id, last) {objects} WHERE true
{conflict} last = {eventsequence}.last + {excluded}
RETURNING subject_type, subject_id, last"""
ON_CONFLICT = "ON CONFLICT (subject_type, subject_id) DO UPDATE SET", "excluded.last"
ON_CONFLICT_IN_MYSQL = "ON DUPLICATE KEY UPDATE", "VALUES(last)"

# Writes numbers into events; NULL stands for the number that an event has. Readers add it to the body: to write bodies again
# takes as long as all else. By primary key.
NUMBER_EVENTS = """
UPDATE {event} SET sequence = COALESCE(n.column2, sequence) {also} FROM (VALUES {rows}) n WHERE {event}.id = n.column1"""
NUMBER_EVENTS_IN_MYSQL = """
UPDATE {event} JOIN ({rows}) n ON {event}.id = n.column1 SET sequence = COALESCE(n.column2, sequence) {also}"""

# All of it in one round trip, for PostgreSQL. ``held`` are events after one of their object that another transaction has
# locked, or numbered since this statement began. Indexes as above; ``owned`` is `owned_key`.
NUMBER_TOGETHER = f"""
WITH turn AS MATERIALIZED ({ASYNCHRONOUS_COMMIT} FROM {{periodicrun}} WHERE function = %(turn)s FOR UPDATE SKIP LOCKED),
locked AS MATERIALIZED (
    SELECT id, subject_type, subject_id, sequence IS NULL AS is_new FROM {{event}}
    WHERE EXISTS (SELECT 1 FROM turn) AND id {{among}} AND (fanned_out_at IS NULL) IS TRUE ORDER BY id FOR UPDATE SKIP LOCKED),
waiting AS (
    SELECT e.id, e.subject_type, CASE WHEN NOT e.numbered_by_owner THEN e.subject_id
            WHEN char_length(k.owned) <= {{longest}} THEN k.owned ELSE encode(sha256(convert_to(k.owned, 'UTF8')), 'hex') END
            AS counted,
        bool_or(l.id IS NULL) OVER (PARTITION BY e.subject_type, e.subject_id,
            CASE WHEN e.numbered_by_owner THEN e.organization_id END ORDER BY e.id) AS held
    FROM (
        SELECT subject_type, subject_id, MAX(id) AS newest FROM locked WHERE is_new GROUP BY subject_type, subject_id
    ) s JOIN {{event}} e ON e.subject_type = s.subject_type AND e.subject_id = s.subject_id AND e.sequence IS NULL
    LEFT JOIN locked l ON l.id = e.id AND l.is_new
    CROSS JOIN LATERAL (SELECT e.subject_id || '@' || e.organization_id AS owned) k
    WHERE (e.fanned_out_at IS NULL) IS TRUE AND e.id <= s.newest),
placed AS (
    SELECT id, subject_type, counted, ROW_NUMBER() OVER (PARTITION BY subject_type, counted ORDER BY id) AS place,
        COUNT(*) OVER (PARTITION BY subject_type, counted) AS many
    FROM waiting WHERE NOT held),
counts AS (
    INSERT INTO {{eventsequence}} (subject_type, subject_id, last)
    SELECT subject_type, counted, many FROM placed WHERE place = 1 ORDER BY subject_type, counted
    ON CONFLICT (subject_type, subject_id) DO UPDATE SET last = {{eventsequence}}.last + excluded.last
    RETURNING subject_type, subject_id, last),
n AS (
    SELECT p.id AS column1, c.last - p.many + p.place AS column2
    FROM placed p JOIN counts c ON c.subject_type = p.subject_type AND c.subject_id = p.counted
    UNION ALL SELECT id, NULL FROM locked WHERE NOT is_new),
numbered AS (
    UPDATE {{event}} SET sequence = COALESCE(n.column2, sequence) {{also}} FROM n WHERE {{event}}.id = n.column1 RETURNING {{event}}.id, body <> '' AS has_body)
{{deliveries}}
SELECT id, has_body FROM numbered"""  # noqa: S608 (names of ours)
# The insertion of their deliveries as a part of that.
OF_NUMBERED = "{among} AND e.id IN (SELECT id FROM numbered WHERE has_body)"
DELIVERIES = f", inserted AS ({INSERT_DELIVERIES.replace('{among}', OF_NUMBERED)})"


def number(
    ids: Collection[int], *, fanned_out_at: datetime | None = None, deliveries: Insertion | None = None
) -> dict[int, bool]:
    """Give new events their numbers, and mark them as fanned out at a time; return whether each has a body, by its key.

    Call it in a transaction. Left out are events that another transaction has locked, and later ones of their objects;
    without the turn, all are. On PostgreSQL, the same statement inserts their ``deliveries``, and needs no transaction.
    """
    if not ids:
        return {}
    params: dict[str, Any]
    (condition, params), also = among(ids), ""
    if fanned_out_at is not None:
        params, also = {**params, "now": moment(fanned_out_at)}, ", fanned_out_at = %(now)s"
    if database().vendor == "postgresql":
        parts = {"among": condition, "longest": str(LONGEST_SUBJECT_KEY), "also": also, "deliveries": ""}
        if deliveries is not None:
            parts["deliveries"] = filled(DELIVERIES, **deliveries.parts)
            params = {**params, **deliveries.params}
        together = partial(read, NUMBER_TOGETHER, {**params, "turn": NUMBERING}, repeated=True, **parts)
        # Again if the row to lock was missing: `lock` has added it.
        return dict(together() or (together() if PeriodicRun.objects.lock(NUMBERING) else ()))
    if not PeriodicRun.objects.lock(NUMBERING):
        return {}
    is_mysql = database().vendor == "mysql"
    by_key = "FORCE INDEX (PRIMARY)" if is_mysql else ""
    lock = for_update(skip_locked=True)
    rows = read(LOCK_EVENTS, params, repeated=True, among=condition, by_key=by_key, lock=lock)
    given = _next_numbers({pk for pk, *_others in rows}) if rows else {}
    done = {pk: bool(has_body) for pk, has_number, has_body in rows if has_number or pk in given}
    if done:
        row = "SELECT {} AS column1, {} AS column2" if is_mysql else "({}, {})"
        lines = (row.format(pk, given.get(pk, "NULL")) for pk in done)
        write(
            NUMBER_EVENTS_IN_MYSQL if is_mysql else NUMBER_EVENTS,
            params,
            rows=(" UNION ALL " if is_mysql else ", ").join(lines),
            also=also,
        )
    return done


def number_all(*, using: str) -> None:
    """Give all new events their numbers, for tests that read events which are not fanned out."""
    with transaction.atomic(using=using):
        number(list(Event.objects.using(using).unnumbered().values_list("pk", flat=True)))


def _next_numbers(locked: Collection[int]) -> dict[int, int]:
    """Return the numbers of those of these events that have none, by their keys.

    An event gets none while an older one of its object is not among them.
    """
    condition, keys = among(locked)
    rows = read(UNNUMBERED_EVENTS, {**keys, "limit": 2 * len(locked)}, repeated=True, among=condition)
    events: dict[Counted, list[int]] = {}
    held: set[Counted] = set()
    for pk, subject_type, subject_id, organization, by_owner in rows:
        counted = subject_type, owned_key(subject_id, organization) if by_owner else subject_id
        if pk not in locked:
            held.add(counted)
        elif counted not in held:
            events.setdefault(counted, []).append(pk)
    if not events:
        return {}
    # In one order, so that two transactions don't deadlock.
    lines = [{"subject_type": kind, "subject_id": key, "last": len(events[kind, key])} for kind, key in sorted(events)]
    conflict, excluded = ON_CONFLICT_IN_MYSQL if database().vendor == "mysql" else ON_CONFLICT
    objects = recordset(EventSequence._meta.concrete_fields[1:], database())
    given: dict[int, int] = {}
    for kind, key, last in read(COUNT, [as_json(lines)], objects=objects, conflict=conflict, excluded=excluded):
        keys_of_object = events[kind, key]
        given.update(zip(keys_of_object, range(last + 1 - len(keys_of_object), last + 1), strict=True))
    return given
