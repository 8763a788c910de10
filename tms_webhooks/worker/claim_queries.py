"""Every statement of a claim, each with its index, and the functions that run them: reads, and the lease.

`tms_webhooks.worker.claim` decides; this module asks and writes. The indexes are those of the models' ``Meta``.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from tms_webhooks.db.django_private import column_of, converters_of
from tms_webhooks.db.sql import (
    array,
    columns_of,
    database,
    filled,
    for_update,
    instances,
    moment,
    numbers,
    read,
    read_as_json,
    read_prepared,
    write,
)
from tms_webhooks.db.writer import ASYNCHRONOUS_COMMIT, brief_write
from tms_webhooks.delivery.outgoing import ClaimedDelivery
from tms_webhooks.models import Delivery, Event, Webhook, WebhookSecret, WebhookState
from tms_webhooks.models.encryption import Sealed
from tms_webhooks.models.webhook import SIGNS
from tms_webhooks.worker.concurrency import LIMIT_COLUMNS, InFlight, allowed_requests

SECRET: Any = WebhookSecret._meta.get_field("value")

# `oldest_due` and `newest_due` read at most this many.
OLDEST_LIMIT = 64
NEWEST_LIMIT = 32
# SQLite takes a union of 500 selects.
MAX_UNION = 225
# The least difference between two times of service.
TICK = timedelta(microseconds=1)

# A delivery that this worker may claim. Not its own rows whose lease has run out: it would send them twice.
IS_DUE = "d.due_at <= %(now)s AND d.lease <> %(token)s"

# Whether a due delivery has failed before, so that it goes out although its webhook is paused. A worker that died may
# still have it under a lease.
IS_RETRY = "CASE WHEN d.status = 'waiting' OR d.status = 'in_flight' AND d.attempts > 0 THEN 1 ELSE 0 END AS is_retry"
DUE_COLUMNS = "id, webhook_id, priority, is_retry"

# The oldest due deliveries of all webhooks. Index: tms_delivery_due. Sorted by key outside: inside, PostgreSQL would
# read all that came due in the same moment.
OLDEST_DUE = f"""
SELECT {DUE_COLUMNS} FROM (
    SELECT id, webhook_id, priority, {IS_RETRY}, due_at FROM {{delivery}} d
    WHERE {IS_DUE} ORDER BY due_at LIMIT {OLDEST_LIMIT}) due
ORDER BY due_at, id"""  # noqa: S608 (names of ours)

# The newest due deliveries, without those of webhooks that have older ones, too. Indexes tms_delivery_due and, for the
# older ones, tms_delivery_claim; read one by one: for a join PostgreSQL may read all of them.
NEWEST_DUE = f"""
WITH newest AS (
    SELECT id, webhook_id, priority, {IS_RETRY}, due_at FROM {{delivery}} d
    WHERE {IS_DUE} ORDER BY due_at DESC LIMIT {NEWEST_LIMIT})
SELECT {DUE_COLUMNS} FROM newest n WHERE (
    SELECT o.id FROM {{delivery}} o
    WHERE o.webhook_id = n.webhook_id AND o.priority = n.priority AND o.lease <> %(token)s AND o.due_at <= (SELECT MIN(due_at) FROM newest HAVING COUNT(*) = {NEWEST_LIMIT}) LIMIT 1) IS NULL
ORDER BY due_at, id"""  # noqa: S608 (names of ours)

# No earlier delivery of the same object is open. Index: tms_delivery_order.
IS_FIRST_OPEN = """NOT EXISTS (
        SELECT 1 FROM {delivery} o WHERE o.webhook_id = d.webhook_id AND o.order_key = d.order_key
        AND o.due_at IS NOT NULL AND o.event_id < d.event_id)"""

# Nor is an earlier event of the object waiting for its deliveries: another worker may be fanning it out now. Index
# tms_event_object_to_fan_out.
IS_FIRST_OF_OBJECT = f"""
    AND {IS_FIRST_OPEN}
    AND NOT EXISTS (SELECT 1 FROM {{event}} e WHERE e.fanned_out_at IS NULL AND e.subject_key = d.order_key
        AND e.id < d.event_id)"""  # noqa: S608 (names of ours)

# The next deliveries within all quotas, for PostgreSQL: a loop over the quotas, planned once however many they are.
# Index: tms_delivery_claim. No database has a limit for each group that stops reading at the index.
NEXT_WITHIN_QUOTAS = """
SELECT d.id, d.webhook_id, d.priority, d.is_retry FROM (VALUES {quotas}) AS w (id, priority) CROSS JOIN LATERAL (
    SELECT id, webhook_id, priority, {is_retry} FROM {{delivery}} d
    WHERE webhook_id = w.id AND priority = w.priority AND {is_due}{in_order} ORDER BY due_at, id LIMIT {limit}) d"""

# The same for SQLite, which has no LATERAL. CROSS JOIN keeps the order of the two.
NEXT_WITHIN_QUOTAS_IN_SQLITE = """
WITH w (quota_of, quota_priority) AS (VALUES {quotas})
SELECT d.id, d.webhook_id, d.priority, {is_retry} FROM w CROSS JOIN {{delivery}} d WHERE d.id IN (
    SELECT d.id FROM {{delivery}} d
    WHERE d.webhook_id = w.quota_of AND d.priority = w.quota_priority AND {is_due}{in_order}
    ORDER BY d.due_at, d.id LIMIT {limit})
ORDER BY d.due_at, d.id"""

# The next deliveries within one quota, for MariaDB, which has neither; one UNION ALL of them. Index:
# tms_delivery_claim.
NEXT_WITHIN_QUOTA = """SELECT id, webhook_id, priority, is_retry FROM (
    SELECT id, webhook_id, priority, {is_retry} FROM {{delivery}} d
    WHERE webhook_id = {webhook_id} AND priority = {priority} AND {is_due}{in_order}
    ORDER BY due_at, id LIMIT {limit}) u"""

# The retries of a paused webhook that came due first: those that wait, and those of workers that died. One UNION ALL of
# them. Index: tms_delivery_in_flight, so that the new deliveries, however many wait, are not read.
NEXT_RETRIES = """SELECT id, webhook_id, priority, 1 AS is_retry FROM (
    SELECT id, webhook_id, priority, due_at FROM {{delivery}} d {by_status}
    WHERE {waits} AND priority <> 0 AND {is_due}{in_order} ORDER BY status, webhook_id, due_at LIMIT {limit}) u
UNION ALL SELECT id, webhook_id, priority, 1 AS is_retry FROM (
    SELECT id, webhook_id, priority, due_at FROM {{delivery}} d {by_status}
    WHERE {is_leased} AND priority <> 0 AND attempts > 0 AND {is_due}{in_order}
    ORDER BY status, webhook_id, due_at LIMIT {limit}) u"""
# Conditions of NEXT_RETRIES. PostgreSQL gets a range of the index. With equal signs it may choose tms_delivery_due, and
# read the whole backlog of a paused webhook. With 100,000 deliveries that takes 47 ms, and 0.02 ms with the range.
OF_STATUS = "status = '{status}' AND webhook_id = {webhook_id}"
OF_STATUS_IN_RANGE = """(status = 'in_flight' OR status = 'waiting')
    AND (status, webhook_id, due_at) >= ('{status}', {webhook_id}, '-infinity')
    AND (status, webhook_id, due_at) <= ('{status}', {webhook_id}, %(now)s)"""

# Webhooks with their states and their deliveries in flight; one row for each secret. Index: tms_delivery_in_flight, and
# webhooks by key.
# The time is compared as a truth value: otherwise PostgreSQL may read the index of all that is due later, which is far
# more.
WEBHOOKS = """
SELECT {columns}, {state}, w.served_at, w.held, w.mine, w.replays, {sealed} FROM (
    SELECT w.*, h.*, f.held, f.mine, f.replays FROM {webhook} w JOIN {webhookstate} h ON h.webhook_id = w.id LEFT JOIN (
        SELECT webhook_id, COUNT(*) AS held, SUM(CASE WHEN lease = %(token)s THEN 1 ELSE 0 END) AS mine,
            SUM(CASE WHEN priority = 2 AND lease <> %(token)s THEN 1 ELSE 0 END) AS replays
        FROM {delivery} WHERE status = 'in_flight' AND (due_at > %(now)s) IS TRUE GROUP BY webhook_id
    ) f ON f.webhook_id = w.id WHERE {condition}
) w {secrets}"""

# The secrets that sign, the newest first. The foreign key's index of webhooksecret.
SECRETS = f"LEFT JOIN {{webhooksecret}} s ON s.webhook_id = w.id AND {SIGNS} ORDER BY w.id, s.id DESC"

# Conditions of WEBHOOKS: the webhooks with these keys. PostgreSQL takes them as one parameter, so that the text stays
# the same and is planned once.
BY_KEY = "w.id IN ({ids})"
BY_KEY_PREPARED = "w.id = ANY(%(ids)s::bigint[])"

# Condition of WEBHOOKS: those that may have no capacity left.
IS_LIMITED = "f.webhook_id IS NOT NULL OR w.rate_limit_per_second IS NOT NULL AND h.tokens < 1"

# Condition of WEBHOOKS: those with a due delivery that may be sent. The least recently served one of each organization
# is first, then the second of each. A manual delivery (priority 0) goes out in any case. Of the others, an ordered
# webhook needs one that is the first of its object, and a paused webhook needs a retry. Replays (priority 2) are sent
# by one worker at a time. Indexes: tms_delivery_claim, and tms_delivery_in_flight for retries, which MariaDB has to be
# forced to use: it reads the whole table otherwise.
HAS_WORK = f"""
w.deleted_at IS NULL AND NOT w.pull_only {{among}} AND w.id NOT IN ({{full}}) AND (
  w.enabled AND (h.held_until IS NULL OR h.held_until <= %(now)s) AND CASE WHEN h.paused_until > %(now)s THEN
    EXISTS (SELECT 1 FROM {{delivery}} d {{by_status}} WHERE d.status = 'waiting' AND d.webhook_id = w.id
      AND d.priority <> 0 AND {IS_DUE} AND (NOT w.ordered OR {IS_FIRST_OPEN}))
    OR EXISTS (SELECT 1 FROM {{delivery}} d {{by_status}} WHERE d.status = 'in_flight' AND d.webhook_id = w.id
      AND d.priority <> 0 AND d.attempts > 0 AND {IS_DUE} AND (NOT w.ordered OR {IS_FIRST_OPEN}))
  WHEN w.ordered THEN
    EXISTS (SELECT 1 FROM {{delivery}} d {{by_claim}} WHERE d.webhook_id = w.id AND d.priority IN (1, 2) AND {IS_DUE}
      AND {IS_FIRST_OPEN})
  ELSE
    EXISTS (SELECT 1 FROM {{delivery}} d {{by_claim}} WHERE d.webhook_id = w.id AND d.priority = 1 AND {IS_DUE})
    OR COALESCE(f.replays, 0) = 0 AND
    EXISTS (SELECT 1 FROM {{delivery}} d {{by_claim}} WHERE d.webhook_id = w.id AND d.priority = 2 AND {IS_DUE})
  END
  OR EXISTS (SELECT 1 FROM {{delivery}} d {{by_claim}} WHERE d.webhook_id = w.id AND d.priority = 0 AND {IS_DUE}))
ORDER BY ROW_NUMBER() OVER (PARTITION BY w.organization_id ORDER BY h.served_at IS NOT NULL, h.served_at, w.id),
    h.served_at IS NOT NULL, h.served_at, w.id
LIMIT %(limit)s"""  # noqa: S608 (names of ours)
FORCE_CLAIM_INDEX = "FORCE INDEX (tms_delivery_claim)"
FORCE_STATUS_INDEX = "FORCE INDEX (tms_delivery_in_flight)"

# When these webhooks were served last; locks those that no other worker has locked. By key.
LOCK_SERVED_AT = "SELECT webhook_id, served_at FROM {webhookstate} WHERE webhook_id IN ({ids}) {lock}"

# Note that these webhooks are served now. By key.
SET_SERVED_AT = "UPDATE {webhookstate} SET served_at = %s WHERE webhook_id IN ({ids})"

# The columns of a `ClaimedDelivery`. The id as text: it saves a UUID object for each delivery.
CLAIMED_COLUMNS = "d.id, d.webhook_id, d.attempts, d.charged, d.priority, CAST(e.uid AS CHAR(36)), e.body, d.quiet_period, d.resume_priority, e.occurred_at"

# The deliveries among these that a worker holds, with their events. By key.
CLAIMED = f"""
SELECT {CLAIMED_COLUMNS} FROM {{delivery}} d JOIN {{event}} e ON e.id = d.event_id
WHERE d.id IN ({{ids}}) AND d.status = 'in_flight' AND d.lease = %s ORDER BY d.priority, d.id"""  # noqa: S608 (names of ours)

# LOCK_SERVED_AT, SET_SERVED_AT, the lease of the deliveries and CLAIMED in one round trip, for PostgreSQL. By keys. The
# time is compared again, for a row that changed since it was read. It is a truth value, because PostgreSQL would read
# the index of all that is due rather than these keys.
LEASE_IN_ONE_STATEMENT = f"""
WITH seen AS (SELECT * FROM unnest(%(webhooks)s::bigint[], %(seen_at)s::timestamptz[]) AS s (id, served_at)),
locked AS (
    SELECT h.webhook_id AS id FROM {{webhookstate}} h JOIN seen ON seen.id = h.webhook_id
    WHERE h.webhook_id = ANY(%(webhooks)s::bigint[]) AND h.served_at IS NOT DISTINCT FROM seen.served_at
    FOR UPDATE OF h SKIP LOCKED),
served AS (UPDATE {{webhookstate}} SET served_at = %(served_at)s WHERE webhook_id IN (SELECT id FROM locked)),
found AS (
    SELECT f.id FROM unnest(%(ids)s::bigint[], %(webhook_ids)s::bigint[]) AS f (id, webhook_id)
    JOIN locked ON locked.id = f.webhook_id),
d AS (
    UPDATE {{delivery}} SET status = 'in_flight', lease = %(token)s, due_at = %(until)s
    WHERE id = ANY(ARRAY(SELECT id FROM found)) AND (due_at <= %(now)s) IS TRUE
    RETURNING id, webhook_id, event_id, attempts, charged, priority, quiet_period, resume_priority)
SELECT {CLAIMED_COLUMNS} FROM d JOIN {{event}} e ON e.id = d.event_id CROSS JOIN ({ASYNCHRONOUS_COMMIT}) AS n
ORDER BY d.priority, d.id"""  # noqa: S608 (names of ours)


class DueDelivery(NamedTuple):
    """A delivery that is due. ``is_retry`` is 1 if it has failed before, and 0 if not."""

    pk: int
    webhook_id: int
    priority: int
    is_retry: int


class ClaimQuota(NamedTuple):
    """At most ``limit`` deliveries of one priority of a webhook; with ``in_order`` the first open one of each object.

    A ``priority`` of None stands for retries, of any priority but manual ones.
    """

    webhook_id: int
    priority: int | None
    limit: int
    in_order: bool


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """A webhook as a worker needs it: with its signing secrets, the newest first, and its deliveries in flight.

    ``seen_at`` is the time of the last service as the database's driver returns it.
    """

    webhook: Webhook
    sealed: Sequence[Sealed] = ()
    in_flight: InFlight = field(default_factory=InFlight)
    seen_at: Any = None


def oldest_due(*, token: str, now: datetime) -> list[DueDelivery]:
    """Return up to `OLDEST_LIMIT` of the deliveries that came due first, in that order."""
    return _due(OLDEST_DUE, token=token, now=now)


def newest_due(*, token: str, now: datetime) -> list[DueDelivery]:
    """Return up to `NEWEST_LIMIT` of the deliveries that came due last, of webhooks for which no older ones wait."""
    return _due(NEWEST_DUE, token=token, now=now)


def webhooks_with_keys(keys: Collection[int], *, token: str, now: datetime) -> list[WebhookRow]:
    """Return the webhooks with these keys, as far as they exist."""
    params = {"token": token, "now": moment(now)}
    if database().vendor == "postgresql":
        params["ids"] = array(keys)
        return _webhook_rows(read_prepared(WEBHOOKS, params, **_parts(BY_KEY_PREPARED)))
    return _webhook_rows(read(WEBHOOKS, params, **_parts(BY_KEY.format(ids=numbers(keys)))))


def webhooks_with_work(
    among: Collection[int] | None, full: Collection[int] = (), *, token: str, now: datetime, limit: int
) -> list[WebhookRow]:
    """Return up to ``limit`` webhooks for which a delivery is due, in turns of organizations, the least recently served first.

    Only webhooks ``among`` these keys, if it is not None, and none that is ``full``.
    """
    condition = filled(
        HAS_WORK,
        among="" if among is None else "AND " + BY_KEY.format(ids=numbers(among)),
        full=numbers(full),
        by_claim=FORCE_CLAIM_INDEX if database().vendor == "mysql" else "",
        by_status=_by_status(),
    )
    params = {"token": token, "now": moment(now), "limit": limit}
    return _webhook_rows(read(WEBHOOKS, params, **_parts(condition)))


def limited_webhooks(*, token: str, now: datetime) -> list[WebhookRow]:
    """Return the webhooks that may have no capacity left, with `LIMIT_COLUMNS` alone."""
    names = ("id", *LIMIT_COLUMNS)
    parts = _parts(IS_LIMITED) | {"columns": columns_of(Webhook, "w", names), "sealed": "NULL", "secrets": ""}
    return _webhook_rows(read(WEBHOOKS, {"token": token, "now": moment(now)}, **parts), names=names)


def due_within(quotas: Sequence[ClaimQuota], *, token: str, now: datetime) -> Iterator[DueDelivery]:
    """Yield the deliveries that came due first within each quota; maybe more of some than the quota, but on MariaDB."""
    params = {"now": moment(now), "token": token}
    if database().vendor != "mysql":
        for in_order in (False, True):
            of_one_kind = [quota for quota in quotas if quota.in_order is in_order and quota.priority is not None]
            yield from _due_in_a_loop(of_one_kind, params)
        quotas = [quota for quota in quotas if quota.priority is None]
    for start in range(0, len(quotas), MAX_UNION):
        sql = " UNION ALL ".join(map(_within_quota, quotas[start : start + MAX_UNION]))
        # Not prepared on PostgreSQL: the text differs each time.
        rows = read(sql, params) if database().vendor == "postgresql" else read_as_json(DUE_COLUMNS, sql, params)
        yield from itertools.starmap(DueDelivery, rows)


def lease(
    found: Sequence[tuple[int, int]], *, webhooks: Mapping[int, WebhookRow], token: str, now: datetime, until: datetime
) -> list[ClaimedDelivery]:
    """Lease the deliveries in ``found``, (delivery, webhook) each, to the holder of ``token``; return those it holds.

    All of ``webhooks`` count as served, also those without a delivery in ``found``: they must not come first again. A
    webhook that another worker has served since it was read, or serves now, is left to that worker. Otherwise both
    could use up its concurrency.
    """
    known = [row.webhook for row in webhooks.values()]
    # Later than ever before, even if the clock was set back: other workers compare it.
    served_at = max([now, *(at + TICK for webhook in known if (at := webhook.state.served_at) is not None)])
    is_limited = any(allowed_requests(webhook, now) is not None for webhook in known)
    if database().vendor == "postgresql" and not is_limited:
        return _lease_in_one_statement(found, webhooks, token=token, now=now, until=until, served_at=served_at)
    with brief_write(durable=False):
        rows = read(LOCK_SERVED_AT, ids=numbers(webhooks), lock=for_update(skip_locked=True))
        locked = {pk for pk, seen_at in rows if seen_at == webhooks[pk].seen_at}
        write(SET_SERVED_AT, [moment(served_at)], ids=numbers(locked))
        ids = [pk for pk, webhook_id in found if webhook_id in locked]
        if ids:
            Delivery.objects.lease(ids, token=token, now=now, until=until)
            for pk, count in Counter(webhook_id for _pk, webhook_id in found if webhook_id in locked).items():
                allowed = allowed_requests(webhooks[pk].webhook, now)
                if allowed is not None:
                    WebhookState.objects.filter(pk=pk).update(tokens=allowed - count, tokens_at=now)
    return claimed_deliveries(ids, token=token) if ids else []


def claimed_deliveries(ids: Iterable[int], *, token: str) -> list[ClaimedDelivery]:
    """Return the deliveries among these that the holder of ``token`` holds."""
    return _claimed(read(CLAIMED, [token], ids=numbers(ids)))


def _due(sql: str, *, token: str, now: datetime) -> list[DueDelivery]:
    rows = read_as_json(DUE_COLUMNS, sql, {"now": moment(now), "token": token})
    return [DueDelivery(*row) for row in rows]


def _by_status() -> str:
    return FORCE_STATUS_INDEX if database().vendor == "mysql" else ""


def _within_quota(quota: ClaimQuota) -> str:
    in_order = IS_FIRST_OF_OBJECT if quota.in_order else ""
    known = {"limit": quota.limit, "is_due": IS_DUE, "in_order": in_order}
    if quota.priority is None:
        of_status = OF_STATUS_IN_RANGE if database().vendor == "postgresql" else OF_STATUS
        waits, is_leased = (
            of_status.format(status=status, webhook_id=quota.webhook_id) for status in ("waiting", "in_flight")
        )
        return NEXT_RETRIES.format(**known, waits=waits, is_leased=is_leased, by_status=_by_status())
    return NEXT_WITHIN_QUOTA.format(**known, webhook_id=quota.webhook_id, priority=quota.priority, is_retry=IS_RETRY)


def _due_in_a_loop(quotas: Sequence[ClaimQuota], params: Mapping[str, Any]) -> Iterator[DueDelivery]:
    """Yield the next deliveries within these quotas, which are all in order, or none of them."""
    if not quotas:
        return
    is_sqlite = database().vendor == "sqlite"
    sql = (NEXT_WITHIN_QUOTAS_IN_SQLITE if is_sqlite else NEXT_WITHIN_QUOTAS).format(
        quotas=", ".join(f"({quota.webhook_id}, {quota.priority})" for quota in quotas),
        # The same for all: a limit that differs makes PostgreSQL compile the query.
        limit=max(quota.limit for quota in quotas),
        is_due=IS_DUE,
        is_retry=IS_RETRY,
        in_order=IS_FIRST_OF_OBJECT if quotas[0].in_order else "",
    )
    rows = read_as_json(DUE_COLUMNS, sql, params) if is_sqlite else read(sql, params)
    yield from itertools.starmap(DueDelivery, rows)


def _parts(condition: str) -> dict[str, str]:
    """Return the parts of `WEBHOOKS` for whole webhooks with their secrets."""
    return {
        "columns": columns_of(Webhook, "w"),
        "state": columns_of(WebhookState, "w"),
        "sealed": "s.value",
        "secrets": filled(SECRETS),
        "condition": condition,
    }


def _webhook_rows(rows: Iterable[Sequence[Any]], *, names: tuple[str, ...] = ()) -> list[WebhookRow]:
    """Join the rows of each webhook, which differ in the secret alone."""
    found: dict[int, WebhookRow] = {}
    for webhook, of_state in instances(Webhook, rows, names=names):
        ((webhook.state, (seen_at, held, mine, replays, secret)),) = instances(WebhookState, [of_state])
        sealed = () if secret is None else (Sealed(secret, SECRET.place(webhook.pk)),)
        if webhook.pk in found:
            found[webhook.pk] = replace(found[webhook.pk], sealed=(*found[webhook.pk].sealed, *sealed))
            continue
        mine = int(mine or 0)
        in_flight = InFlight(mine=mine, others=int(held or 0) - mine, replays=int(replays or 0))
        found[webhook.pk] = WebhookRow(webhook, sealed, in_flight, seen_at)
    return list(found.values())


def _lease_in_one_statement(
    found: Sequence[tuple[int, int]],
    webhooks: Mapping[int, WebhookRow],
    *,
    token: str,
    now: datetime,
    until: datetime,
    served_at: datetime,
) -> list[ClaimedDelivery]:
    params = {
        "webhooks": array(webhooks),
        "seen_at": array(row.seen_at for row in webhooks.values()),
        "served_at": served_at,
        "ids": array(pk for pk, _webhook_id in found),
        "webhook_ids": array(webhook_id for _pk, webhook_id in found),
        "token": token,
        "now": now,
        "until": until,
    }
    return _claimed(read_prepared(LEASE_IN_ONE_STATEMENT, params))


def _claimed(rows: Iterable[Sequence[Any]]) -> list[ClaimedDelivery]:
    # SQLite and MariaDB return times without a zone.
    column, connection = column_of(Event._meta.get_field("occurred_at"), Event), database()
    converters = converters_of(column, connection)
    claimed = []
    for *values, occurred_at in rows:
        for convert in converters:
            occurred_at = convert(occurred_at, column, connection)
        claimed.append(ClaimedDelivery._make((*values, occurred_at)))
    return claimed
