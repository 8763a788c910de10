"""The webhooks that may be sent to, each with its secrets and with what is under way to it at the same moment."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from tms_webhooks.delivery.limits import LIMITING, Appetite, Flying, Place, place_of
from tms_webhooks.delivery.pick import IS_DUE, NOTHING_EARLIER
from tms_webhooks.models import Webhook
from tms_webhooks.models.encryption import Sealed
from tms_webhooks.models.instances import columns_of, instances
from tms_webhooks.models.secret import SIGNS
from tms_webhooks.models.statements import array, database, filled, moment, numbers, read, read_prepared

# The time is compared by a truth value, or PostgreSQL may read the index of all that is due later: what is in flight is
# far less.
WEBHOOKS = """
SELECT {columns}, w.served_at, w.held, w.mine, w.replays, {sealed} FROM (
    SELECT w.*, f.held, f.mine, f.replays FROM {webhook} w LEFT JOIN (
        SELECT webhook_id, COUNT(*) AS held, SUM(CASE WHEN lease = %(token)s THEN 1 ELSE 0 END) AS mine,
            SUM(CASE WHEN lane = 2 THEN 1 ELSE 0 END) AS replays
        FROM {delivery} WHERE status = 'in_flight' AND (due_at > %(now)s) IS TRUE GROUP BY webhook_id
    ) f ON f.webhook_id = w.id WHERE {which}
) w {secrets}"""

# A row for each secret that signs.
SECRETS = f"LEFT JOIN {{webhooksecret}} s ON s.webhook_id = w.id AND {SIGNS} ORDER BY w.id, s.id DESC"

LIMITED = "f.webhook_id IS NOT NULL OR w.rate_limit_per_second IS NOT NULL AND w.tokens < 1"

# What is resent by hand (lane 0) goes out also where everything else has to wait. Of the others, an ordered webhook
# needs one that is in turn, and what is replayed (lane 2) waits for the one before it.
WITH_WORK = f"""
w.deleted_at IS NULL {{among}} AND w.id NOT IN ({{full}}) AND (
  w.enabled AND (w.paused_until IS NULL OR w.paused_until <= %(now)s) AND CASE WHEN w.ordered THEN
    EXISTS (SELECT 1 FROM {{delivery}} d {{by_claim}} WHERE d.webhook_id = w.id AND d.lane IN (1, 2) AND {IS_DUE}
      AND {NOTHING_EARLIER})
  ELSE
    EXISTS (SELECT 1 FROM {{delivery}} d {{by_claim}} WHERE d.webhook_id = w.id AND d.lane = 1 AND {IS_DUE})
    OR COALESCE(f.replays, 0) = 0 AND
    EXISTS (SELECT 1 FROM {{delivery}} d {{by_claim}} WHERE d.webhook_id = w.id AND d.lane = 2 AND {IS_DUE})
  END
  OR EXISTS (SELECT 1 FROM {{delivery}} d {{by_claim}} WHERE d.webhook_id = w.id AND d.lane = 0 AND {IS_DUE}))
ORDER BY w.served_at IS NOT NULL, w.served_at, w.id
LIMIT %(limit)s"""  # noqa: S608 (names of ours)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A webhook, and the secrets that sign for it, the newest first.

    ``seen_at`` is when it was served last, in the database's own words.
    """

    webhook: Webhook
    sealed: Sequence[Sealed] = ()
    flying: Flying = field(default_factory=Flying)
    seen_at: Any = None


def these(webhooks: Collection[int], *, token: str, now: datetime) -> list[Candidate]:
    """Return the webhooks with these keys, as far as there are any."""
    params = {"token": token, "now": moment(now)}
    if database().vendor == "postgresql":
        params["ids"] = array(webhooks)
        return _candidates(read_prepared(WEBHOOKS, params, **_parts("w.id = ANY(%(ids)s::bigint[])")))
    return _candidates(read(WEBHOOKS, params, **_parts(f"w.id IN ({numbers(webhooks)})")))


def with_work(
    among: Collection[int] | None, *, token: str, now: datetime, limit: int, appetite: Appetite
) -> list[Candidate]:
    """Return up to ``limit`` of the webhooks that something is due for, the least recently served first.

    Those that are full may be among them, where there are fewer than that. ``among`` are the only ones to ask, if not None.
    """
    found = _with_work(among, (), token=token, now=now, limit=limit)
    if len(found) < limit:
        return found
    # Those that are full must not take the places of others.
    names = ("id", *LIMITING)
    parts = {"columns": columns_of(Webhook, "w", names), "sealed": "NULL", "secrets": "", "which": LIMITED}
    held_up = _candidates(read(WEBHOOKS, {"token": token, "now": moment(now)}, **parts), names=names)
    full = [pk for pk, place in places_of(held_up, now, appetite=appetite).items() if place.free <= 0]
    return _with_work(among, full, token=token, now=now, limit=limit) if full else found


def _with_work(
    among: Collection[int] | None, full: Collection[int], *, token: str, now: datetime, limit: int
) -> list[Candidate]:
    which = filled(
        WITH_WORK,
        among="" if among is None else f"AND w.id IN ({numbers(among)})",
        full=numbers(full),
        # Left to itself, MariaDB reads the whole table.
        by_claim="FORCE INDEX (tms_delivery_claim)" if database().vendor == "mysql" else "",
    )
    return _candidates(read(WEBHOOKS, {"token": token, "now": moment(now), "limit": limit}, **_parts(which)))


def _parts(which: str) -> dict[str, str]:
    return {"columns": columns_of(Webhook, "w"), "sealed": "s.value", "secrets": filled(SECRETS), "which": which}


def places_of(candidates: Iterable[Candidate], now: datetime, *, appetite: Appetite) -> Mapping[int, Place]:
    """Return what this worker may do for each, by its key."""
    return {one.webhook.pk: place_of(one.webhook, now, flying=one.flying, appetite=appetite) for one in candidates}


def _candidates(rows: Iterable[Sequence[Any]], *, names: tuple[str, ...] = ()) -> list[Candidate]:
    found: dict[int, Candidate] = {}
    for webhook, (seen_at, held, mine, replays, token) in instances(Webhook, rows, names=names):
        sealed = () if token is None else (Sealed(token),)
        if webhook.pk in found:
            found[webhook.pk] = replace(found[webhook.pk], sealed=(*found[webhook.pk].sealed, *sealed))
            continue
        mine = int(mine or 0)
        flying = Flying(mine=mine, others=int(held or 0) - mine, replays=int(replays or 0))
        found[webhook.pk] = Candidate(webhook, sealed, flying, seen_at)
    return list(found.values())
