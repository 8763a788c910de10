"""Leasing what was found to go next: a short write, and nothing in it that could be read before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from tms_webhooks.delivery.candidates import Candidate
from tms_webhooks.delivery.limits import tokens_of
from tms_webhooks.delivery.outgoing import Taken
from tms_webhooks.models import Delivery, Webhook
from tms_webhooks.models.statements import array, database, for_update, moment, numbers, read, read_prepared, write
from tms_webhooks.models.writer import NOT_AT_ONCE, brief_write, undisturbed

TICK = timedelta(microseconds=1)

# The id as text: a million UUID objects a day that nobody looks into.
COLUMNS = "d.id, d.webhook_id, d.attempts, d.charged, d.lane, CAST(e.uid AS CHAR(36)), e.body"
SERVED_AT = "SELECT id, served_at FROM {webhook} WHERE id IN ({ids}) {lock}"

SERVED = "UPDATE {webhook} SET served_at = %s WHERE id IN ({ids})"

HELD = f"""
SELECT {COLUMNS} FROM {{delivery}} d JOIN {{event}} e ON e.id = d.event_id
WHERE d.id IN ({{ids}}) AND d.status = 'in_flight' AND d.lease = %s ORDER BY d.lane, d.id"""  # noqa: S608 (names of ours)

# All of it in one round trip, for PostgreSQL. The time is compared once more on a row that was changed meanwhile. A
# truth value, because it would rather read the index of all that is due than the rows of these keys.
AT_ONCE = f"""
WITH seen AS (SELECT * FROM unnest(%(webhooks)s::bigint[], %(seen_at)s::timestamptz[]) AS s (id, served_at)),
locked AS (
    SELECT w.id FROM {{webhook}} w JOIN seen ON seen.id = w.id
    WHERE w.id = ANY(%(webhooks)s::bigint[]) AND w.served_at IS NOT DISTINCT FROM seen.served_at
    FOR UPDATE OF w SKIP LOCKED),
served AS (UPDATE {{webhook}} SET served_at = %(served_at)s WHERE id IN (SELECT id FROM locked)),
found AS (
    SELECT f.id FROM unnest(%(ids)s::bigint[], %(webhook_ids)s::bigint[]) AS f (id, webhook_id)
    JOIN locked ON locked.id = f.webhook_id),
d AS (
    UPDATE {{delivery}} SET status = 'in_flight', lease = %(token)s, due_at = %(until)s
    WHERE id = ANY(ARRAY(SELECT id FROM found)) AND (due_at <= %(now)s) IS TRUE
    RETURNING id, webhook_id, event_id, attempts, charged, lane)
SELECT {COLUMNS} FROM d JOIN {{event}} e ON e.id = d.event_id CROSS JOIN ({NOT_AT_ONCE}) AS n ORDER BY d.lane, d.id"""  # noqa: S608 (names of ours)


def take(
    found: Sequence[tuple[int, int]],
    *,
    candidates: Mapping[int, Candidate],
    token: str,
    now: datetime,
    until: datetime,
) -> list[Taken]:
    """Lease the deliveries in ``found``, (delivery, webhook) each, to the holder of ``token``; return those it holds.

    ``candidates`` are all that were asked, also those of which nothing was found: they must not come first again. One
    that another worker has served since it was seen, or serves now, is left to it, or both could fill its cap.
    """
    seen_at = {pk: candidate.seen_at for pk, candidate in candidates.items()}
    webhooks = {pk: candidate.webhook for pk, candidate in candidates.items()}
    # Later than ever before, also where the clock was set back: it tells that somebody was here.
    served_at = max(
        [now, *(webhook.served_at + TICK for webhook in webhooks.values() if webhook.served_at is not None)]
    )
    limited = any(tokens_of(webhook, now) is not None for webhook in webhooks.values())
    if database().vendor == "postgresql" and not limited:
        return _take_at_once(found, seen_at, token=token, now=now, until=until, served_at=served_at)
    with brief_write(durable=False):
        rows = read(SERVED_AT, ids=numbers(webhooks), lock=for_update(skip_locked=True))
        ours = {pk for pk, served in rows if served == seen_at[pk]}
        write(SERVED, [moment(served_at)], ids=numbers(ours))
        ids = [pk for pk, webhook_id in found if webhook_id in ours]
        if ids:
            Delivery.objects.lease(ids, token=token, now=now, until=until)
            _spend(webhooks, Counter(webhook_id for _pk, webhook_id in found if webhook_id in ours), now=now)
    return held(ids, token=token) if ids else []


def held(ids: Iterable[int], *, token: str) -> list[Taken]:
    """Read those of these deliveries that the holder of ``token`` holds."""
    with undisturbed():
        rows = read(HELD, [token], ids=numbers(ids))
    return [Taken(*row) for row in rows]


def _take_at_once(
    found: Sequence[tuple[int, int]],
    seen_at: Mapping[int, Any],
    *,
    token: str,
    now: datetime,
    until: datetime,
    served_at: datetime,
) -> list[Taken]:
    params = {
        "webhooks": array(seen_at),
        "seen_at": array(seen_at.values()),
        "served_at": served_at,
        "ids": array(pk for pk, _webhook_id in found),
        "webhook_ids": array(webhook_id for _pk, webhook_id in found),
        "token": token,
        "now": now,
        "until": until,
    }
    return [Taken(*row) for row in read_prepared(AT_ONCE, params)]


def _spend(webhooks: Mapping[int, Webhook], taken: Mapping[int, int], *, now: datetime) -> None:
    for pk, count in taken.items():
        tokens = tokens_of(webhooks[pk], now)
        if tokens is not None:
            Webhook.objects.filter(pk=pk).update(tokens=tokens - count, tokens_at=now)
