"""Every statement of a drain, each with its index. The modules that run them decide. Indexes are those of the models' ``Meta``.

Most texts serve all databases. PostgreSQL has its own where one round trip instead of several, or a plan instead
of one for each quota, is a gain.
"""

from __future__ import annotations

from tms_webhooks.models.webhook import SIGNS

# `RECENTLY_DUE` reads at most this many.
RECENT_LIMIT = 256

# A delivery that may be sent, as far as its time goes.
IS_DUE = "d.due_at <= %(now)s"

# No earlier delivery of the same object is open. Index: tms_delivery_earlier_of_object.
IS_FIRST_OPEN = """NOT EXISTS (
        SELECT 1 FROM {delivery} o WHERE o.webhook_id = d.webhook_id AND o.order_key = d.order_key
        AND o.due_at IS NOT NULL AND o.event_id < d.event_id)"""

# Nor is an earlier event of the object waiting for its deliveries: another drain may be fanning it out now. Index:
# tms_event_object_to_fan_out.
IS_FIRST_OF_OBJECT = f"""{IS_FIRST_OPEN}
    AND NOT EXISTS (SELECT 1 FROM {{event}} e WHERE e.fanned_out_at IS NULL AND e.subject_key = d.order_key
        AND e.id < d.event_id)"""  # noqa: S608 (names of ours)

# For MariaDB, which reads the whole table otherwise. Other databases see a comment.
FORCE_DUE_INDEX = "/*! FORCE INDEX (tms_delivery_claim) */"
FORCE_RETRY_INDEX = "/*! FORCE INDEX (tms_delivery_retries) */"

# --- The leases of webhooks ---

# No living drain holds the webhook.
IS_FREE = "(st.lease = '' OR st.leased_until <= %(now)s)"

# The webhooks of the deliveries that came due last. Index: tms_delivery_due.
RECENTLY_DUE = f"""
SELECT webhook_id FROM {{delivery}} d WHERE {IS_DUE} ORDER BY due_at DESC LIMIT {RECENT_LIMIT}"""  # noqa: S608 (names of ours)

# The webhooks of the deliveries that came due lately. Index: tms_delivery_due.
DUE_SINCE = f"""
SELECT DISTINCT webhook_id FROM {{delivery}} d WHERE due_at >= %(since)s AND {IS_DUE}"""  # noqa: S608 (names of ours)

# The free webhooks with a due delivery that may be sent. The least recently served one of each organization is first,
# then the second of each. A manual delivery (priority 0) goes out in any case. Of the others, an ordered webhook needs one
# that is the first of its object, and a paused webhook needs a retry. Indexes: tms_delivery_claim and
# tms_delivery_retries, and webhooks by key.
FREE_WITH_WORK = f"""
SELECT st.webhook_id FROM {{webhookstate}} st JOIN {{webhook}} w ON w.id = st.webhook_id
WHERE {IS_FREE} {{among}} AND w.id NOT IN ({{left}}) AND w.deleted_at IS NULL AND NOT w.pull_only AND (
  w.enabled AND (st.held_until IS NULL OR st.held_until <= %(now)s) AND CASE WHEN st.paused_until > %(now)s THEN
    EXISTS (SELECT 1 FROM {{delivery}} d {FORCE_RETRY_INDEX} WHERE d.status = 'waiting' AND d.webhook_id = w.id
      AND d.priority <> 0 AND {IS_DUE} AND (NOT w.ordered OR {IS_FIRST_OPEN}))
  WHEN w.ordered THEN
    EXISTS (SELECT 1 FROM {{delivery}} d {FORCE_DUE_INDEX} WHERE d.webhook_id = w.id AND d.priority IN (1, 2) AND {IS_DUE}
      AND {IS_FIRST_OPEN})
  ELSE
    EXISTS (SELECT 1 FROM {{delivery}} d {FORCE_DUE_INDEX} WHERE d.webhook_id = w.id AND d.priority = 1 AND {IS_DUE})
    OR EXISTS (SELECT 1 FROM {{delivery}} d {FORCE_DUE_INDEX} WHERE d.webhook_id = w.id AND d.priority = 2 AND {IS_DUE})
  END
  OR EXISTS (SELECT 1 FROM {{delivery}} d {FORCE_DUE_INDEX} WHERE d.webhook_id = w.id AND d.priority = 0 AND {IS_DUE}))
ORDER BY ROW_NUMBER() OVER (PARTITION BY w.organization_id ORDER BY st.served_at IS NOT NULL, st.served_at, w.id),
    st.served_at IS NOT NULL, st.served_at, w.id
LIMIT %(limit)s"""  # noqa: S608 (names of ours)

# Those of these webhooks that are still free, locked; without those that another drain is leasing now. By key.
LOCK_FREE = f"SELECT st.webhook_id FROM {{webhookstate}} st WHERE st.webhook_id IN ({{ids}}) AND {IS_FREE} {{lock}}"  # noqa: S608 (names of ours)

# Lease these webhooks. The last owner has written the tokens of the rate limit, unless it died: then none are left. They
# are set first: MariaDB assigns from left to right. By key.
LEASE = """
UPDATE {webhookstate} SET tokens = CASE WHEN lease = '' THEN tokens ELSE 0 END,
    tokens_at = CASE WHEN lease = '' THEN tokens_at ELSE %(now)s END,
    lease = %(token)s, leased_until = %(until)s, served_at = %(now)s
WHERE webhook_id IN ({ids})"""

# The webhooks of one drain. The second condition is implied; it lets SQLite use the index tms_webhook_leased.
OF_DRAIN = "lease = %(token)s AND lease > ''"
RENEW = f"UPDATE {{webhookstate}} SET leased_until = %(until)s WHERE {OF_DRAIN}"  # noqa: S608 (names of ours)
HELD = f"SELECT webhook_id FROM {{webhookstate}} WHERE {OF_DRAIN}"  # noqa: S608 (names of ours)

# Free some webhooks of one drain. By key.
GIVE_BACK = f"UPDATE {{webhookstate}} SET lease = '', leased_until = NULL WHERE {OF_DRAIN} AND webhook_id IN ({{ids}})"  # noqa: S608 (names of ours)

# Before that: the tokens that a rate limit has left. By key.
LEAVE_TOKENS = """
UPDATE {webhookstate} SET tokens = %(tokens)s, tokens_at = %(tokens_at)s
WHERE webhook_id = %(webhook)s AND lease = %(token)s"""

# How many webhooks living drains hold. Index: tms_webhook_leased.
COUNT_LEASED = "SELECT COUNT(*) FROM {webhookstate} WHERE lease > '' AND leased_until > %(now)s"

# The drains with leases whose session has ended, by their tokens: nothing has the lock of the token any more. PostgreSQL's
# own. Index: tms_webhook_leased.
ENDED_SESSIONS = """
SELECT DISTINCT st.lease FROM {webhookstate} st
WHERE st.lease > 's' AND st.lease < 't' AND st.lease <> %(token)s AND st.leased_until > %(now)s AND NOT EXISTS (
    SELECT 1 FROM pg_locks l JOIN pg_database b ON b.oid = l.database
    WHERE b.datname = current_database() AND l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
    AND l.classid = %(space)s AND l.objid = ('x' || lpad(substr(st.lease, 2, 7), 8, '0'))::bit(32)::bigint)"""
# End the leases of such a drain. Index: tms_webhook_leased.
END_LEASES = f"UPDATE {{webhookstate}} SET leased_until = %(now)s WHERE {OF_DRAIN}"  # noqa: S608 (names of ours)

# When something comes due, a pause or a hold ends, or the lease of another drain is over; how many others have a lease.
# Index: tms_delivery_due; the states are few.
NEXT_DUE = """
SELECT MIN(at), MAX(others) FROM (
    SELECT MIN(due_at) AS at, 0 AS others FROM {delivery} WHERE due_at > %(now)s
    UNION ALL SELECT MIN(held_until), 0 FROM {webhookstate} WHERE held_until > %(now)s
    UNION ALL SELECT MIN(paused_until), 0 FROM {webhookstate} WHERE paused_until > %(now)s
    UNION ALL SELECT MIN(leased_until), COUNT(*) FROM {webhookstate}
        WHERE lease > '' AND lease <> %(token)s AND leased_until > %(now)s
) moments"""

# --- Due deliveries ---

# The webhooks with these keys that a drain holds, with their states; one row for each secret that signs, the newest
# first. By key.
WEBHOOKS = f"""
SELECT {{state}}, {{columns}}, s.value FROM {{webhookstate}} st JOIN {{webhook}} w ON w.id = st.webhook_id
LEFT JOIN {{webhooksecret}} s ON s.webhook_id = w.id AND {SIGNS}
WHERE st.webhook_id {{among}} AND st.lease = %(token)s ORDER BY w.id, s.id DESC"""  # noqa: S608 (names of ours)

# The columns of a `ClaimedDelivery`, with the number for its body. The id and the times as text: psycopg needs a tenth of a
# delivery's CPU time to make two datetimes.
CLAIMED_COLUMNS = """d.id, d.webhook_id, d.attempts, d.charged, d.priority, CAST(e.uid AS CHAR(36)), e.traceparent, e.body,
    e.sequence, d.quiet_period, d.resume_priority, CAST(e.occurred_at AS CHAR(35)), CAST(d.due_at AS CHAR(35))"""

# The deliveries within all quotas, with their events. By keys.
DUE = f"""
SELECT {CLAIMED_COLUMNS} FROM ({{due}}) n JOIN {{delivery}} d ON d.id = n.id JOIN {{event}} e ON e.id = d.event_id
ORDER BY d.priority, d.due_at, d.id"""  # noqa: S608 (names of ours)

# The conditions of the two kinds of quotas. Of one priority, deliveries are read from the owner's lower bound on: the
# entries below it are of finished ones. Of a paused webhook, only retries are read, however many new deliveries wait.
OF_PRIORITY = f"{FORCE_DUE_INDEX} WHERE d.priority = {{priority}} AND d.due_at >= {{after}}"
RETRIES = f"{FORCE_RETRY_INDEX} WHERE d.status = 'waiting' AND d.priority <> 0"

# The next deliveries within one quota. All quotas are one UNION ALL: MariaDB has no limit for each group that stops reading
# at the index.
WITHIN_QUOTA = f"""SELECT id FROM (
    SELECT d.id FROM {{{{delivery}}}} d {{where}}
    AND d.webhook_id = {{webhook_id}} AND {IS_DUE} AND d.id NOT IN ({{held}}) {{in_order}}
    ORDER BY d.due_at, d.id LIMIT {{limit}}) q"""  # noqa: S608 (names of ours)

# The next deliveries within all quotas of one kind, for databases with a loop over the quotas: prepared once, however many
# they are. One limit for all, because each one is another statement. PostgreSQL: the inner SELECTs hide how many quotas there
# are. Otherwise it would make a plan for their number each time, which takes longer than to read.
WITHIN_QUOTAS = {
    "postgresql": f"""
SELECT n.id FROM unnest((SELECT %(webhook_id)s::bigint[]), (SELECT %(priority)s::int[]),
        (SELECT %(after)s::timestamptz[]), (SELECT %(limit)s::int[]), (SELECT %(in_order)s::bool[]))
    AS w (id, priority, after, most, ordered)
CROSS JOIN LATERAL (
    SELECT r.id, ROW_NUMBER() OVER (ORDER BY r.due_at, r.id) AS place FROM (
        SELECT d.id, d.due_at FROM {{{{delivery}}}} d {{where}}
        AND d.webhook_id = w.id AND {IS_DUE} AND d.id <> ALL(%(held)s::bigint[])
        AND (NOT w.ordered OR {{in_order}})
        ORDER BY d.due_at, d.id LIMIT {{limit}}) r) n
WHERE n.place <= w.most""",  # noqa: S608 (names of ours)
    "sqlite": f"""
SELECT n.value AS id FROM json_each(%(quotas)s) w, json_each((SELECT json_group_array(r.id) FROM (
    SELECT d.id FROM {{{{delivery}}}} d {{where}}
    AND d.webhook_id = json_extract(w.value, '$.webhook_id') AND {IS_DUE} AND d.id NOT IN (SELECT value FROM json_each(%(held)s))
    AND (NOT json_extract(w.value, '$.in_order') OR {{in_order}})
    ORDER BY d.due_at, d.id LIMIT {{limit}}) r)) n
WHERE n.key < json_extract(w.value, '$.limit')""",  # noqa: S608 (names of ours)
}
# The priority and the lower bound of a quota in these.
IN_QUOTAS = {
    "postgresql": {"priority": "w.priority", "after": "COALESCE(w.after, '-infinity')"},
    "sqlite": {
        "priority": "json_extract(w.value, '$.priority')",
        "after": "COALESCE(json_extract(w.value, '$.after'), '')",
    },
}

# --- Results ---

# The values of a delivered row.
DELIVERED = """status = 'delivered', due_at = NULL, finished_at = {now}, error_class = '',
    attempts = attempts + 1, charged = charged + 1"""

# The public id of a delivery's event, without its prefix. By primary key.
EVENT_UID = "(SELECT REPLACE(CAST(e.uid AS CHAR(36)), '-', '') FROM {event} e WHERE e.id = event_id)"

# These deliveries, locked: their attempts, whether they are open, since when their retries count, their events, and whether
# the payloads of these are kept. By key.
LOCK_SENT = f"""
SELECT id, attempts, due_at IS NOT NULL, COALESCE(reopened_at, created_at), {EVENT_UID},
    (SELECT e.body <> '' FROM {{event}} e WHERE e.id = event_id)
FROM {{delivery}} WHERE id IN ({{ids}}) {{lock}}"""  # noqa: S608 (names of ours)

# Note the success of webhooks that a drain holds and that have not failed. One that has failed is judged on its own: it
# may have recovered. By key.
SET_SUCCEEDED_AT = """
UPDATE {webhookstate} SET succeeded_at = %s WHERE webhook_id IN ({ids}) AND failures = 0 AND lease = %s"""

# Finish open deliveries as delivered, if their attempts and events are still those that were sent. By key.
SET_DELIVERED = f"""
UPDATE {{delivery}} SET {DELIVERED.format(now="%s")}
WHERE id IN ({{ids}}) AND due_at IS NOT NULL AND (id, attempts, {EVENT_UID}) IN ({{sent}})"""  # noqa: S608 (names of ours)

# A whole batch of successes in one round trip, for PostgreSQL: states, deliveries, totals and attempts, or nothing at
# all. By keys; the totals by tms_total_once.
RECORD_SUCCESSES = f"""
WITH line AS MATERIALIZED ({{lines}}),
healthy AS (
    SELECT webhook_id FROM {{webhookstate}}
    WHERE webhook_id = ANY(%(webhooks)s::bigint[]) AND failures = 0 AND lease = %(token)s ORDER BY webhook_id FOR UPDATE),
still_open AS (
    SELECT d.id FROM {{delivery}} d JOIN line ON line.delivery_id = d.id
    JOIN unnest(%(ids)s::bigint[], %(uids)s::uuid[]) AS sent (id, uid) ON sent.id = d.id
    WHERE d.id = ANY(%(ids)s::bigint[]) AND d.due_at IS NOT NULL
        AND d.attempts = line.number - 1 AND (SELECT e.uid FROM {{event}} e WHERE e.id = d.event_id) = sent.uid
        AND (SELECT COUNT(*) FROM healthy) = cardinality(%(webhooks)s::bigint[])
    FOR UPDATE OF d),
plain AS MATERIALIZED (SELECT COUNT(*) = cardinality(%(ids)s::bigint[]) AS yes FROM still_open),
succeeded AS (
    UPDATE {{webhookstate}} SET succeeded_at = %(now)s
    WHERE webhook_id = ANY(%(webhooks)s::bigint[]) AND (SELECT yes FROM plain)),
delivered AS (
    UPDATE {{delivery}} SET {DELIVERED.format(now="%(now)s")}
    WHERE id = ANY(%(ids)s::bigint[]) AND (SELECT yes FROM plain)),
added AS ({{totals}})
INSERT INTO {{deliveryattempt}} ({{columns}})
SELECT {{columns}} FROM line WHERE (SELECT yes FROM plain)"""  # noqa: S608 (names of ours)
