"""Which webhooks new events go to: their deliveries are made in a few statements for many events.

What a subscription asks for by name is settled in SQL. Where it takes only some of those events, the candidates are
read and looked into, and the deliveries of those that are wanted are made by the same statement.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import product
from typing import Any, NamedTuple

from tms_webhooks import event_names
from tms_webhooks.choices import Audience, Priority
from tms_webhooks.db.django_private import insert_ignoring_conflicts
from tms_webhooks.db.sql import array, database, filled, moment, numbers, read, read_at_once, read_prepared, write
from tms_webhooks.db.writer import NOT_AT_ONCE, has_one_writer
from tms_webhooks.models.audience import JOIN_WEBHOOKS, LEARNER, OWNER, Relation, parent_column, recipient_sql
from tms_webhooks.routing import filtered

# Subscriptions that take only some of the events that they ask for.
FILTERED = "(s.filters <> '{{}}' OR s.{condition} IS NOT NULL)"

# What webhooks want beyond the plain: a first attempt that is held back, or events of others than their organization;
# and, in a row of its own, whether there are such subscriptions.
EXTRAS = f"""
SELECT DISTINCT delay_seconds, audience, CASE WHEN include_children THEN 1 ELSE 0 END, 0 FROM {{webhook}}
WHERE deleted_at IS NULL AND (delay_seconds > 0 OR audience <> 'owner' OR include_children)
UNION ALL SELECT * FROM (SELECT 0 AS a, 'owner' AS b, 0 AS c, 1 AS d FROM {{subscription}} s WHERE {FILTERED} LIMIT 1) one"""  # noqa: S608 (all of it is here)

# The state of a new delivery: due, or kept as skipped because its webhook is disabled.
DUE = {
    "status": "CASE WHEN w.enabled THEN 'pending' ELSE 'skipped' END",
    "due_at": "CASE WHEN w.enabled THEN %(due_at)s ELSE NULL END",
    "finished_at": "CASE WHEN w.enabled THEN NULL ELSE %(now)s END",
}

ASKS_FILTERED = "s.event_type IN ({patterns}) AND (e.subscription_id IS NULL OR e.subscription_id = s.id)"
BY_NAME = f"EXISTS (SELECT 1 FROM {{subscription}} s WHERE s.webhook_id = w.id AND {ASKS_FILTERED} {{all_of_them}})"  # noqa: S608

COLUMNS = """event_id, webhook_id, status, due_at, priority, order_key, lease, attempts, charged, error_class,
    created_at, finished_at"""
ROW = f"""e.id, w.id, {{status}}, {{due_at}}, {Priority.LIVE.value}, CASE WHEN w.ordered THEN e.subject_key ELSE NULL END, '', 0, 0,
    '', %(now)s, {{finished_at}}"""

# One row for each webhook that wants an event. Events of a disabled webhook are kept as skipped, for a later replay.
FAN_OUT = f"""
{{insert}} {{delivery}} ({COLUMNS})
{{lines}}
SELECT {{distinct}} {ROW} FROM {{reached}}
WHERE e.id IN ({{ids}}) {{still}} AND w.deleted_at IS NULL {{held_back}} AND w.id <> %(spoken_of)s
  AND {{wanted}} {{not_yet}}
{{suffix}}
"""  # noqa: S608 (all of it is here)

# For MariaDB: where an insert finds its row there, it locks what lies before it, and other workers' rows belong there.
ONCE = {
    "distinct": "DISTINCT",
    "not_yet": "AND NOT EXISTS (SELECT 1 FROM {delivery} o WHERE o.event_id = e.id AND o.webhook_id = w.id)",
}

CANDIDATES = f"""
{{lines}}
SELECT e.id, w.id, s.id FROM {{reached}} JOIN {{subscription}} s ON s.webhook_id = w.id
WHERE e.id IN ({{ids}}) {{still}} AND w.deleted_at IS NULL AND w.id <> %(spoken_of)s AND {FILTERED} AND {ASKS_FILTERED}"""  # noqa: S608

REACH = """
{lines} SELECT e.id AS id, COUNT(*) AS webhooks FROM {reached}
WHERE e.id IN ({ids}) AND w.deleted_at IS NULL AND {wanted} GROUP BY e.id"""

Hits = Mapping[tuple["EventGroup", "Relation | None"], set[tuple[int, int]]]
"""The keys of events and of webhooks that want them, by their groups and by the ways they come."""


class EventGroup(NamedTuple):
    """Events that are fanned out alike: of one type, none of them to the webhook that they speak of."""

    event_type: str
    spoken_of: int

    @property
    def params(self) -> dict[str, Any]:
        """What a statement about them has to be given: among others the patterns that mean their type, by `places`."""
        patterns = event_names.patterns_for(self.event_type)
        return {"spoken_of": self.spoken_of, **{f"pattern{number}": name for number, name in enumerate(patterns)}}

    @property
    def places(self) -> str:
        """The places of these patterns in a statement."""
        return ", ".join(f"%({name})s" for name in self.params if name.startswith("pattern"))


class FanOutPlan(NamedTuple):
    """What there is to reckon with today.

    By how many seconds webhooks hold the first attempt back; by which ways events come to them, None for the way from
    an organization below; and whether any subscription takes only some of its events.
    """

    delays: Collection[int]
    ways: Sequence[Relation | None]
    is_narrowed: bool

    @classmethod
    def of_today(cls) -> FanOutPlan:
        """Ask the webhooks and their subscriptions."""
        found = read_prepared(EXTRAS, {}, condition=_condition())
        ways: list[Relation | None] = [OWNER]
        if any(audience != Audience.OWNER.value for _delay, audience, *_others in found):
            ways.append(LEARNER)
        if any(children for _delay, _audience, children, _narrowed in found) and parent_column() is not None:
            ways.append(None)
        # MariaDB makes decimals of them.
        delays = {int(delay) for delay, *_others in found if delay}
        return cls(delays, ways, any(narrowed for *_others, narrowed in found))

    def reach(self, groups: Mapping[EventGroup, Sequence[int]]) -> Mapping[int, int]:
        """Return how many webhooks ask for these events by name, by their keys; a webhook counts for each way."""
        reach: Counter[int] = Counter()
        for way, (group, ids) in product(self.ways, groups.items()):
            wanted, keys = filled(BY_NAME, patterns=group.places, all_of_them=""), numbers(ids)
            parts = {"ids": keys, "wanted": wanted, **recipient_sql(keys, way=way)}
            reach.update(dict(read_at_once("id, webhooks", REACH, group.params, **parts)))
        return reach

    def carry_out(self, groups: Mapping[EventGroup, Sequence[int]], *, now: datetime) -> None:
        """Make the deliveries of these events, whose keys come by their groups."""
        hits = self._hits(groups) if self.is_narrowed else {}
        once = self._once()
        for delay, way, (group, ids) in product((*self.delays, 0), self.ways, groups.items()):
            for wanted in (_one_of(hits.get((group, way), ())), self._by_name(group)):
                if wanted:
                    _insert(group, ids, way=way, delay=delay, now=now, wanted=wanted, once=once)

    def _once(self) -> Mapping[str, str]:
        """Return the parts of a statement that keep it from a delivery that it, or one before it, has made already."""
        may_meet = self.is_narrowed or self.delays or len(self.ways) > 1
        if not may_meet or database().vendor != "mysql":
            return dict.fromkeys(ONCE, "")
        return {name: filled(part) for name, part in ONCE.items()}

    def _by_name(self, group: EventGroup) -> str:
        all_of_them = f"AND NOT {FILTERED}".format(condition=_condition()) if self.is_narrowed else ""
        return filled(BY_NAME, patterns=group.places, all_of_them=all_of_them)

    def _hits(self, groups: Mapping[EventGroup, Sequence[int]]) -> Hits:
        """Return what narrowed subscriptions want of these events. All are looked into at once, in their order."""
        rows = {
            (group, way): read(
                CANDIDATES, group.params, condition=_condition(), patterns=group.places, **_reaching(ids, way)
            )
            for group, ids in groups.items()
            for way in self.ways
        }
        wanted = filtered.matching(
            {(event, subscription) for found in rows.values() for event, _w, subscription in found}
        )
        hits: dict[tuple[EventGroup, Relation | None], set[tuple[int, int]]] = defaultdict(set)
        for place, found in rows.items():
            hits[place].update((event, webhook) for event, webhook, sub in found if (event, sub) in wanted)
        return hits


def _insert(
    group: EventGroup,
    ids: Iterable[int],
    *,
    way: Relation | None,
    delay: int,
    now: datetime,
    wanted: str,
    once: Mapping[str, str],
) -> None:
    """Make the deliveries to webhooks that hold the first attempt back by ``delay``; for 0, to all that got none yet.

    The webhook whose delay somebody changes at this moment is one of those: it must not be left out.
    """
    insert, suffix = insert_ignoring_conflicts(database())
    params = {**group.params, "now": moment(now), "due_at": moment(now + timedelta(seconds=delay))}
    write(
        FAN_OUT,
        params,
        insert=insert,
        suffix=suffix,
        held_back=f"AND w.delay_seconds = {int(delay)}" if delay else "",
        wanted=wanted,
        **once,
        **DUE,
        **_reaching(ids, way),
    )


def _reaching(ids: Iterable[int], way: Relation | None) -> dict[str, str]:
    """Return the parts of a statement that name these events, and the webhooks to which they come by one way."""
    keys = numbers(ids)
    return {
        "ids": keys,
        # Those that are locked are known not to be.
        "still": "AND e.fanned_out_at IS NULL" if has_one_writer() else "",
        **recipient_sql(keys, way=way),
    }


def _one_of(pairs: Iterable[tuple[int, int]]) -> str:
    """Return what keeps these pairs of an event and a webhook; nothing where there are none."""
    by_event: dict[int, list[int]] = defaultdict(list)
    for event, webhook in sorted(pairs):
        by_event[event].append(webhook)
    either = (f"(e.id = {event} AND w.id IN ({numbers(webhooks)}))" for event, webhooks in by_event.items())
    return f"({' OR '.join(either)})" if by_event else ""


def _condition() -> str:
    # A reserved word in MariaDB.
    return database().ops.quote_name("condition")


# For a transaction that does not wait for the disk: those events that no other worker is about to fan out.
LOCKED = f"""
WITH at_once AS MATERIALIZED ({NOT_AT_ONCE}),
locked AS (
    SELECT e.id FROM {{event}} e CROSS JOIN at_once
    WHERE e.id = ANY(%(ids)s::bigint[]) AND (e.fanned_out_at IS NULL) IS TRUE ORDER BY e.id FOR UPDATE OF e SKIP LOCKED)"""  # noqa: S608 (names of ours)

MARKED = "UPDATE {event} SET fanned_out_at = %(now)s WHERE id = ANY(ARRAY(SELECT id FROM locked)) RETURNING"

WAITS = "CASE WHEN w.enabled THEN %(now)s + w.delay_seconds * interval '1 second' ELSE NULL END"

FAN_OUT_PLAIN = f"""
{LOCKED},
e AS ({MARKED} id, type, organization_id, subject_key, subscription_id),
speaking AS (SELECT * FROM unnest(%(speaking)s::bigint[], %(spoken_of)s::bigint[]) AS s (event_id, webhook_id)),
meant AS (SELECT * FROM unnest(%(types)s::text[], %(patterns)s::text[]) AS m (type, pattern)),
made AS (
    INSERT INTO {{delivery}} ({COLUMNS})
    SELECT {ROW.format(**{**DUE, "due_at": WAITS})} FROM e {JOIN_WEBHOOKS[OWNER]}
    WHERE w.deleted_at IS NULL
      AND NOT EXISTS (SELECT 1 FROM speaking s WHERE s.event_id = e.id AND s.webhook_id = w.id)
      AND EXISTS (
        SELECT 1 FROM {{subscription}} s JOIN meant ON meant.pattern = s.event_type AND meant.type = e.type
        WHERE s.webhook_id = w.id AND (e.subscription_id IS NULL OR e.subscription_id = s.id))
    ORDER BY e.id ON CONFLICT DO NOTHING)
SELECT id FROM e"""  # noqa: S608 (names of ours)


def is_enough(plan: FanOutPlan) -> bool:
    """Say whether that statement is all that the events take under this plan."""
    return plan.ways == [OWNER] and not plan.is_narrowed and database().vendor == "postgresql"


def fan_out(groups: Mapping[EventGroup, Sequence[int]], *, now: datetime) -> set[int]:
    """Make the deliveries of those of these events that no other worker has; return the events' keys."""
    speaking = [(pk, group.spoken_of) for group, ids in groups.items() if group.spoken_of for pk in ids]
    meant = [(group.event_type, pattern) for group in groups for pattern in event_names.patterns_for(group.event_type)]
    params: dict[str, Any] = {
        "ids": array(pk for ids in groups.values() for pk in ids),
        "speaking": array(pk for pk, _webhook_id in speaking),
        "spoken_of": array(webhook_id for _pk, webhook_id in speaking),
        "types": [event_type for event_type, _pattern in meant],
        "patterns": [pattern for _event_type, pattern in meant],
        "now": now,
    }
    return {pk for (pk,) in read_prepared(FAN_OUT_PLAIN, params)}
