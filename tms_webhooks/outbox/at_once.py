"""New events and their deliveries in one statement, for PostgreSQL: one round trip, planned once.

For what is usual: webhooks that get events of their own organization, and all of those that they ask for by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tms_webhooks import event_names
from tms_webhooks.models.audience import OWNER, TO
from tms_webhooks.models.statements import array, database, read_prepared
from tms_webhooks.models.writer import NOT_AT_ONCE
from tms_webhooks.outbox.addressees import COLUMNS, DUE, ROW, Group, Plan

# For a transaction that does not wait for the disk: those events that no other worker is about to fan out.
LOCKED = f"""
WITH at_once AS MATERIALIZED ({NOT_AT_ONCE}),
locked AS (
    SELECT e.id FROM {{event}} e CROSS JOIN at_once
    WHERE e.id = ANY(%(ids)s::bigint[]) AND (e.fanned_out_at IS NULL) IS TRUE ORDER BY e.id FOR UPDATE OF e SKIP LOCKED)"""  # noqa: S608 (names of ours)

MARKED = "UPDATE {event} SET fanned_out_at = %(now)s WHERE id = ANY(ARRAY(SELECT id FROM locked)) RETURNING"

WAITS = "CASE WHEN w.enabled THEN %(now)s + w.delay_seconds * interval '1 second' ELSE NULL END"

FAN_OUT = f"""
{LOCKED},
e AS ({MARKED} id, type, organization_id, subject_key, subscription_id),
speaking AS (SELECT * FROM unnest(%(speaking)s::bigint[], %(spoken_of)s::bigint[]) AS s (event_id, webhook_id)),
meant AS (SELECT * FROM unnest(%(types)s::text[], %(patterns)s::text[]) AS m (type, pattern)),
made AS (
    INSERT INTO {{delivery}} ({COLUMNS})
    SELECT {ROW.format(**{**DUE, "due_at": WAITS})} FROM e {TO[OWNER]}
    WHERE w.deleted_at IS NULL
      AND NOT EXISTS (SELECT 1 FROM speaking s WHERE s.event_id = e.id AND s.webhook_id = w.id)
      AND EXISTS (
        SELECT 1 FROM {{subscription}} s JOIN meant ON meant.pattern = s.event_type AND meant.type = e.type
        WHERE s.webhook_id = w.id AND (e.subscription_id IS NULL OR e.subscription_id = s.id))
    ORDER BY e.id ON CONFLICT DO NOTHING)
SELECT id FROM e"""  # noqa: S608 (names of ours)


def is_enough(plan: Plan) -> bool:
    """Say whether that statement is all that the events take under this plan."""
    return plan.ways == [OWNER] and not plan.is_narrowed and database().vendor == "postgresql"


def fan_out(groups: Mapping[Group, Sequence[int]], *, now: datetime) -> set[int]:
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
    return {pk for (pk,) in read_prepared(FAN_OUT, params)}
