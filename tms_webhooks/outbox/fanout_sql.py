"""The statements of the fan-out, from reading new events to inserting their deliveries, and the parts of which they consist.

In the statements ``e`` is an event, ``w`` a webhook and ``s`` a subscription. Parts in braces are filled in: the names of
tables by `db.sql`, what leads from events to webhooks by `EventBatch.parts`, and the rest by `FanOutPlan.insertion`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction

from tms_webhooks import event_names
from tms_webhooks.choices import Priority
from tms_webhooks.db.sql import among, database, filled, moment, numbers, read
from tms_webhooks.models.audience import Relation, recipient_sql
from tms_webhooks.routing.budget import Candidate

# New events

# When an event whose fan-out failed is tried again; NULL for the others. Index: the primary key.
RETRY_AT = "(SELECT f.retry_at FROM {fanoutfailure} f WHERE f.event_id = {event}.id)"

# Events without deliveries, by organization and oldest first, each with whether it is to be tried later. As a condition, that
# would have PostgreSQL sort all of them. Index: tms_event_to_fan_out, here and in the next two, which have its order so that
# PostgreSQL does not choose a plan that reads all events.
WAITING_EVENTS = f"""
SELECT id, type, subject_id, organization_id, other_organization_id, CASE WHEN {RETRY_AT} > %(now)s THEN 1 ELSE 0 END
FROM {{event}} WHERE fanned_out_at IS NULL
ORDER BY fanned_out_at, organization_id, id LIMIT %(limit)s"""  # noqa: S608 (all of it is here)

# The organizations with such events, in the order of their keys. Reads one entry of the index for each.
WAITING_ORGANIZATIONS = """
WITH RECURSIVE waiting (organization_id, number) AS (
    SELECT * FROM (
        SELECT organization_id, 1 FROM {event} WHERE fanned_out_at IS NULL AND organization_id IS NOT NULL {after}
        ORDER BY fanned_out_at, organization_id LIMIT 1) first
    UNION ALL
    SELECT (SELECT e.organization_id FROM {event} e WHERE e.fanned_out_at IS NULL AND e.organization_id > w.organization_id
        ORDER BY e.fanned_out_at, e.organization_id LIMIT 1), w.number + 1
    FROM waiting w WHERE w.organization_id IS NOT NULL AND w.number < %(most)s
)
SELECT organization_id FROM waiting WHERE organization_id IS NOT NULL"""

# Keeps PostgreSQL from sorting all waiting events until the transaction ends. It may expect few of them, because its
# statistics are up to a minute old. No index.
ENABLE_SORT = "SELECT set_config('enable_sort', %s, true)"

# The oldest such events of one organization, or of none; several of these are read together.
WAITING_OF_ORGANIZATION = """
SELECT * FROM (
    SELECT id, type, subject_id, organization_id, other_organization_id FROM {{event}}
    WHERE fanned_out_at IS NULL AND organization_id {owner} AND ({retry_at} > %(now)s) IS NOT TRUE
    ORDER BY fanned_out_at, organization_id, id LIMIT %(limit)s) o"""

# Webhooks and subscriptions

# A subscription that takes only some of the events of its types.
FILTERED = "(s.filters <> '{{}}' OR s.{condition} IS NOT NULL)"

# A webhook that gets deliveries.
IS_SENT_TO = "w.deleted_at IS NULL AND NOT w.pull_only"

# Three kinds of rows with the same columns, each with its own filled in:
#
# - the delay, the audience and whether children are included, of webhooks that differ from the default
# - whether any subscription is filtered
# - the pattern of a subscription with a quiet period, and whether its webhook is ordered
#
# Reads all webhooks, of which there are few, and subscriptions up to the first filtered one. Index: tms_subscription_quiet.
EXTRAS = f"""
SELECT DISTINCT w.delay_seconds, w.audience, CASE WHEN w.include_children THEN 1 ELSE 0 END, 0, '', 0 FROM {{webhook}} w
WHERE {IS_SENT_TO} AND (w.delay_seconds > 0 OR w.audience <> 'owner' OR w.include_children)
UNION ALL SELECT * FROM (
    SELECT 0 AS a, 'owner' AS b, 0 AS c, 1 AS d, '' AS e, 0 AS f FROM {{subscription}} s WHERE {FILTERED} LIMIT 1) one
UNION ALL SELECT DISTINCT 0, 'owner', 0, 0, s.event_type, CASE WHEN w.ordered THEN 1 ELSE 0 END
FROM {{subscription}} s JOIN {{webhook}} w ON w.id = s.webhook_id WHERE s.quiet_seconds > 0 AND {IS_SENT_TO}"""  # noqa: S608 (all of it is here)

# A subscription to the type of the event.
SUBSCRIBED = "({types}) AND (e.subscription_id IS NULL OR e.subscription_id = s.id)"

# The condition that a webhook subscribes to an event by its type. Index: the foreign key's.
BY_NAME = f"EXISTS (SELECT 1 FROM {{subscription}} s WHERE s.webhook_id = w.id AND {SUBSCRIBED} {{unfiltered}})"  # noqa: S608

# The pairs of an event and a filtered subscription to its type, to be filtered in Python. Indexes: the events' primary
# key, then tms_webhook_by_organization and the foreign key's of subscriptions.
FILTER_CANDIDATES = f"""
{{lines}}
SELECT e.id, w.id, s.id, w.organization_id FROM {{reached}} JOIN {{subscription}} s ON s.webhook_id = w.id
WHERE e.id {{among}} AND {IS_SENT_TO} {{not_for}} AND {FILTERED}
  AND {SUBSCRIBED}"""  # noqa: S608

# Deliveries

# Inserts one delivery for each event and each webhook that subscribes to it, in the order of events. It is due, or for a
# disabled webhook skipped: it can be sent again after the webhook is enabled. Indexes: the events' primary key, then the
# webhooks' organization; the unique one of deliveries leaves out those that exist.
INSERT_DELIVERIES = f"""
{{insert}} {{delivery}} (
    event_id, webhook_id, status, due_at, finished_at, created_at, priority, order_key, attempts, charged, error_class)
{{lines}}
SELECT {{distinct}} e.id, w.id, CASE WHEN w.enabled THEN 'pending' ELSE 'skipped' END,
    CASE WHEN NOT w.enabled THEN NULL {{delays}} ELSE %(now)s END, CASE WHEN w.enabled THEN NULL ELSE %(now)s END, %(now)s,
    {Priority.LIVE.value}, CASE WHEN w.ordered THEN e.subject_key ELSE NULL END, 0, 0, ''
FROM {{reached}}
WHERE e.id {{among}} AND {IS_SENT_TO} {{not_for}} AND {{wanted}} {{not_yet}}
ORDER BY e.id {{suffix}}
"""  # noqa: S608 (all of it is here)

# For MariaDB, where deliveries may exist already: an INSERT that finds its row locks the gap before it, where other
# workers insert theirs.
WITHOUT_EXISTING = {
    "distinct": "DISTINCT",
    "not_yet": "AND NOT EXISTS (SELECT 1 FROM {delivery} o WHERE o.event_id = e.id AND o.webhook_id = w.id)",
}

# Quiet periods

# The new deliveries of these events to webhooks with a quiet period, with each of the subscriptions that have one.
# Indexes: the unique one of deliveries, and the foreign key's index of subscriptions.
QUIET_SUBSCRIPTIONS = f"""
SELECT d.id, d.event_id, d.webhook_id, s.id, s.event_type, CASE WHEN {FILTERED} THEN 1 ELSE 0 END, s.quiet_seconds,
    s.quiet_longest_seconds
FROM {{delivery}} d JOIN {{subscription}} s ON s.webhook_id = d.webhook_id
WHERE d.event_id IN ({{ids}}) AND s.quiet_seconds > 0 AND d.status = 'pending'"""  # noqa: S608

# The deliveries of these objects that wait for a quiet period, with their webhooks. Index: tms_delivery_quiet_waiting.
# No join, and no further condition. Without statistics PostgreSQL would expect one row, and join by reading all of them
# for each object (20 s for 10,000).
WAITING_OF_OBJECTS = """
SELECT id, webhook_id FROM {delivery} WHERE order_key IN ({keys}) AND due_at IS NOT NULL AND quiet_period IS NOT NULL"""

# Locks those of these deliveries whose quiet period is not over. By primary key.
LOCK_WAITING = f"""
SELECT id FROM {{delivery}} {{by_key}} WHERE id IN ({{ids}}) AND (due_at > %(now)s) IS TRUE
  AND (status = 'pending') IS TRUE AND attempts = 0 AND (priority = {Priority.LIVE.value}) IS TRUE
ORDER BY id {{lock}}"""  # noqa: S608

# Have these deliveries wait until a time, each for its quiet period. By primary key.
WAIT = """
UPDATE {delivery} SET due_at = %(due_at)s, quiet_period = CASE id {periods} END,
    order_key = (SELECT e.subject_key FROM {event} e WHERE e.id = event_id) WHERE id IN ({ids})"""

# Finish these deliveries as merged, each with its quiet period. By primary key.
MERGE = """
UPDATE {delivery} SET status = 'merged', due_at = NULL, finished_at = %(now)s,
    quiet_period = CASE id {periods} END WHERE id IN ({ids})"""


class NewEvent(NamedTuple):
    """What the fan-out reads of an event."""

    id: int
    type: str
    subject_id: str
    organization_id: Any
    other_organization_id: Any


class EventBatch:
    """Events that are fanned out together, with their part in the statements.

    ``not_for`` are pairs of an event and a webhook that gets no delivery of it.
    """

    def __init__(self, events: Iterable[NewEvent], not_for: Collection[tuple[int, int]]) -> None:
        self.events = list(events)
        self.not_for = not_for
        self._among, keys = among(one.id for one in self.events)
        self.params: dict[str, Any] = {**keys}
        names = sorted({one.type for one in self.events})
        self.is_of_one_type = len(names) == 1
        types = []
        for number, name in enumerate(names):
            patterns = {f"pattern{number}_{place}": one for place, one in enumerate(event_names.patterns_for(name))}
            self.params |= {f"type{number}": name, **patterns}
            listed = ", ".join(f"%({key})s" for key in patterns)
            types.append(f"e.type = %(type{number})s AND s.event_type IN ({listed})")
        self._types = " OR ".join(types)

    def parts(self, relation: Relation | None) -> dict[str, Any]:
        """Return the parts of a statement that lead from these events to the webhooks of one relation."""
        return {
            "among": self._among,
            "types": self._types,
            "not_for": f"AND NOT {in_pairs(self.not_for)}" if self.not_for else "",
            **recipient_sql(self._among, way=relation),
        }

    def by_name(self, *, unfiltered: bool) -> str:
        """Return the condition that a webhook subscribes to these events by their type; optionally without filters."""
        only = filled(f"AND NOT {FILTERED}") if unfiltered else ""
        return filled(BY_NAME, types=self._types, unfiltered=only)


# New events


def waiting_events(limit: int, now: datetime) -> tuple[list[NewEvent], bool]:
    """Return up to ``limit`` events without deliveries, by organization and oldest first, and whether there are more.

    Those that are tried again later are left out.
    """
    rows = read(WAITING_EVENTS, {"limit": limit + 1, "now": moment(now)}, repeated=True)
    return [NewEvent(*event) for *event, is_later in rows if not is_later], len(rows) > limit


def waiting_organizations(after: Any, *, most: int) -> list[Any]:
    """Return up to ``most`` organizations with such events: those after the key ``after``, or the first for None."""
    only = "" if after is None else "AND organization_id > %(after)s"
    return [pk for (pk,) in read(WAITING_ORGANIZATIONS, {"after": after, "most": most}, after=only)]


def waiting_of_organizations(organizations: Sequence[Any], *, limit: int, now: datetime) -> list[NewEvent]:
    """Return up to ``limit`` such events of each organization, and of none, the oldest."""
    params = {f"organization{number}": key for number, key in enumerate(organizations)}
    union = " UNION ALL ".join(
        WAITING_OF_ORGANIZATION.format(owner=owner, retry_at=RETRY_AT)
        for owner in ("IS NULL", *(f"= %({name})s" for name in params))
    )
    with _without_sort():
        # Not prepared: its text is another for each number of organizations.
        rows = read(union, {**params, "limit": limit, "now": moment(now)})
    return [NewEvent(*row) for row in rows]


@contextmanager
def _without_sort() -> Iterator[None]:
    connection = database()
    if connection.vendor != "postgresql":
        yield
        return
    in_transaction = connection.in_atomic_block
    with transaction.atomic(using=connection.alias):
        read(ENABLE_SORT, ["off"])
        yield
        if in_transaction:
            read(ENABLE_SORT, ["on"])


# Webhooks and subscriptions


def in_pairs(pairs: Iterable[tuple[int, int]]) -> str:
    """Return the condition that the event and the webhook are one of these pairs; empty without any."""
    by_event: dict[int, list[int]] = defaultdict(list)
    for event, webhook in sorted(pairs):
        by_event[event].append(webhook)
    either = (f"(e.id = {event} AND w.id IN ({numbers(webhooks)}))" for event, webhooks in by_event.items())
    return f"({' OR '.join(either)})" if by_event else ""


def filter_candidates(batch: EventBatch, relation: Relation | None) -> list[Candidate]:
    """Return the filtered subscriptions that subscribe to the type of each of these events, with their webhooks."""
    return [Candidate(*row) for row in read(FILTER_CANDIDATES, batch.params, **batch.parts(relation))]


# Deliveries


class Insertion(NamedTuple):
    """The parts of `INSERT_DELIVERIES`, and its parameters."""

    parts: dict[str, str]
    params: dict[str, Any]
