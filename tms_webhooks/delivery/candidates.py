"""The webhooks that may be sent to, each with its secrets and with what is under way to it at the same moment."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from tms_webhooks.delivery.limits import LIMITING, Appetite, Flying, Place, place_of
from tms_webhooks.models import Webhook
from tms_webhooks.models.encryption import Sealed
from tms_webhooks.models.instances import columns_of, instances
from tms_webhooks.models.statements import array, database, moment, numbers, read, read_prepared

# The time is compared by a truth value, or PostgreSQL may read the index of all that is due later: what is in flight is
# far less.
WEBHOOKS = """
SELECT {columns}, w.served_at, f.held, f.mine, f.replays, {sealed} FROM {webhook} w LEFT JOIN (
    SELECT webhook_id, COUNT(*) AS held, SUM(CASE WHEN lease = %(token)s THEN 1 ELSE 0 END) AS mine,
        SUM(CASE WHEN lane = 2 THEN 1 ELSE 0 END) AS replays
    FROM {delivery} WHERE status = 'in_flight' AND (due_at > %(now)s) IS TRUE GROUP BY webhook_id
) f ON f.webhook_id = w.id"""

# A row for each secret that signs.
THESE = f"""{WEBHOOKS}
LEFT JOIN {{webhooksecret}} s ON s.webhook_id = w.id AND (s.expires_at IS NULL OR s.expires_at > %(now)s)
WHERE w.id {{these}} ORDER BY w.id, s.id DESC"""

LIMITED = f"{WEBHOOKS} WHERE f.webhook_id IS NOT NULL OR w.rate_limit_per_second IS NOT NULL AND w.tokens < 1"


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
    parts = {"columns": columns_of(Webhook, "w"), "sealed": "s.value"}
    if database().vendor == "postgresql":
        parts["these"] = "= ANY(%(ids)s::bigint[])"
        return _candidates(read_prepared(THESE, {**params, "ids": array(webhooks)}, **parts))
    return _candidates(read(THESE, params, these=f"IN ({numbers(webhooks)})", **parts))


def limited(*, token: str, now: datetime) -> list[Candidate]:
    """Return those whose limits may keep them from getting any: of each no more than `LIMITING`, and no secrets."""
    names = ("id", *LIMITING)
    params = {"token": token, "now": moment(now)}
    return _candidates(read(LIMITED, params, columns=columns_of(Webhook, "w", names), sealed="NULL"), names=names)


def places_of(candidates: Iterable[Candidate], now: datetime, *, appetite: Appetite) -> Mapping[int, Place]:
    """Return what this worker may do for each, by its key."""
    return {one.webhook.pk: place_of(one.webhook, now, flying=one.flying, appetite=appetite) for one in candidates}


def _candidates(rows: Iterable[Sequence[Any]], *, names: Sequence[str] = ()) -> list[Candidate]:
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
