"""The leases of one drain: which webhooks it alone may send for, and for how long. `endpoint_queues` decides which is served next.

A lease lasts `LEASE` seconds by the database's clock, and is renewed while the drain lives. Drains share the webhooks with
due work, and give back idle ones, and those beyond their share. Where a drain of PostgreSQL has a session, it holds an
advisory lock there, so that others see within two seconds that it is gone.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import itemgetter
from time import monotonic
from typing import Any, NamedTuple

from django.db.models import Q

from tms_webhooks.db.sql import (
    among,
    array,
    as_datetime,
    as_json,
    brief_write,
    columns_of,
    database,
    filled,
    for_update,
    instance,
    moment,
    numbers,
    read,
    write,
)
from tms_webhooks.delivery.outgoing import ClaimedDelivery, Endpoint
from tms_webhooks.models import DrainSlot, Webhook, WebhookSecret, WebhookState, encryption
from tms_webhooks.models.drain import LONG_AGO
from tms_webhooks.models.encryption import Sealed
from tms_webhooks.models.event import numbered
from tms_webhooks.models.webhook import RateLimit
from tms_webhooks.queues.wakeup import WakeUpListener
from tms_webhooks.worker import statements

# Seconds of a lease; between two renewals; and before its end from when on nothing is started.
LEASE, RENEWED_EVERY, MARGIN = 15.0, 4.0, 1.0
# What came due so long before a read is read by the next one, too: its transaction may have been open.
OVERLAP = timedelta(seconds=1)
# Webhooks that are leased in one step.
LEASED_TOGETHER = 256
# The share of all time that the reads of all free webhooks may take, where much is due.
ALL_SHARE = 0.1
# Seconds for which a webhook is left to the other drains, although it is free, because it is more than this drain's share.
LEFT_TO_OTHERS = 1.0
# Seconds between two looks for sessions that have ended; seen twice, a session has. It may be connecting again.
SESSIONS_EVERY = 0.75
# The first number of the advisory lock of each drain's session; the second one is of its token.
LOCK_SPACE = 7_630_195

# When this process left webhooks to others, because its keys don't decrypt their secrets. A drain of a queue lives for
# seconds only.
_left_at: dict[int, datetime] = {}


class Leases:
    """The webhooks that a drain holds by its own count, in ``held``, and those that the database has for it.

    A method that uses the database raises the database's errors, and can be called again. ``renew_slot`` takes the time,
    renews the drain's slot, and returns its number, or None without one.
    """

    def __init__(self, *, clock: Callable[[], datetime], renew_slot: Callable[[datetime], int | None]) -> None:
        self.token = uuid.uuid4().hex
        # The numbers of the advisory lock of this drain's session, and the listener that has the session; None without one.
        self.lock = LOCK_SPACE, int(self.token[1:8], 16)
        self._session: WakeUpListener | None = None
        self.held: set[int] = set()
        self.slot: int | None = None
        self._clock, self._renew_slot = clock, renew_slot
        # When to renew the leases, on the monotonic clock; whether the database may have others than those in ``held``.
        self.renew_at = float("-inf")
        self._is_in_doubt = True
        # Until when the leases hold on that clock. From then on, nothing may be started.
        self.valid_until = float("inf")
        # How many drains share the webhooks. The free webhooks that are more than this drain's share, and when each was seen.
        self._drains = 1
        self._beyond_share: dict[int, float] = {}
        # When to read all free webhooks, at the earliest.
        self._read_all_at = 0.0
        # Until when what came due was read, by the database's clock.
        self._due_until = clock()
        # The drains whose session was not found, and when to look again.
        self._ended: set[str] = set()
        self._sessions_at = 0.0

    def use_session(self, listener: WakeUpListener) -> None:
        """Mark the token as one whose session holds ``lock``, if the listener's session does."""
        if listener.holds_lock:
            self.token, self._session = f"s{self.token[1:]}", listener

    def doubt(self) -> None:
        """Renew the leases next: a step was interrupted, and the database may have other ones than ``held`` says."""
        self.renew_at, self._is_in_doubt = float("-inf"), True

    @property
    def is_alone(self) -> bool:
        """Whether no other drain was seen at the last renewal."""
        return self._drains == 1

    def renew(self) -> int:
        """Extend all leases and the slot; return how many webhooks are more than this drain's share.

        If the database has other leases for this drain, ``held`` follows it. A step may have been interrupted, or a webhook
        lost to another drain.
        """
        begun_at, now = monotonic(), self._clock()
        if self.held or self._is_in_doubt:
            params = {"token": self.token, "until": moment(now + timedelta(seconds=LEASE))}
            if write(statements.RENEW, params) != len(self.held):
                self.held = {pk for (pk,) in read(statements.HELD, params)}
        self._is_in_doubt = False
        self.slot = self._renew_slot(now)
        self._drains = DrainSlot.objects.see(self.slot, now=now)
        self.renew_at, self.valid_until = begun_at + RENEWED_EVERY, begun_at + LEASE - MARGIN
        return len(self.held) - self._share(now) if self.held and not self.is_alone else 0

    def acquire(self, now: datetime, *, shares: bool = True) -> Collection[int]:
        """Lease webhooks that have due work and no owner, as many as this drain's share if it ``shares``; return their keys."""
        if self._session is not None and not self.held and not self._session.holds_lock:
            # The session is lost, and so are the leases: others would take new ones, too.
            self.token, self._session = uuid.uuid4().hex, None
        if not self.is_alone:
            self._end_leases_of_ended_sessions(now)
        params = {
            "token": self.token,
            "now": moment(now),
            "until": moment(now + timedelta(seconds=LEASE)),
            "limit": LEASED_TOGETHER,
        }
        keys = self._free_with_work(params, now)
        if shares and not self.is_alone:
            keys = self._within_share(keys, now)
        if not keys:
            return ()
        with brief_write(durable=False):
            rows = read(statements.LOCK_FREE, params, ids=numbers(keys), lock=for_update(skip_locked=True))
            free = {pk for (pk,) in rows}
            leased = [pk for pk in keys if pk in free]
            if leased:
                write(statements.LEASE, params, ids=numbers(leased))
        self.held.update(leased)
        return leased

    def due_since(self, since: datetime) -> set[int]:
        """Return the webhooks of the deliveries that came due since the last call, at least since that time; held or not."""
        now = self._clock()
        # What another drain has just fanned out may be older than the last call, if its transaction was open then.
        last = self._due_until if self.is_alone else self._due_until - OVERLAP
        params = {"since": moment(min(since, last)), "now": moment(now)}
        due = {pk for (pk,) in read(statements.DUE_SINCE, params, repeated=True)}
        self._due_until = now
        return due

    def give_back(self, rates: Mapping[int, RateLimit | None]) -> None:
        """Free these webhooks for other drains, each with the tokens that its rate limit has left; None without one."""
        params = {"token": self.token}
        for pk, rate in rates.items():
            if rate is not None and rate.tokens_at is not None:
                left = {"webhook": pk, "tokens": rate.tokens, "tokens_at": moment(rate.tokens_at)}
                write(statements.LEAVE_TOKENS, {**params, **left})
        write(statements.GIVE_BACK, params, ids=numbers(rates))
        self.held.difference_update(rates)

    def _free_with_work(self, params: Mapping[str, Any], now: datetime) -> list[int]:
        """Return free webhooks with due work: those of the last due deliveries, or of all if it is time to read all."""
        begun_at = monotonic()
        rows = read(statements.RECENTLY_DUE, params, repeated=True)
        recent = {pk for (pk,) in rows} - self.held
        reads_all = len(rows) == statements.RECENT_LIMIT and begun_at >= self._read_all_at
        if not (recent or reads_all):
            return []
        since = now - timedelta(seconds=encryption.KEYS_WAIT)
        found = read(
            statements.FREE_WITH_WORK,
            params,
            # The parts have names of tables themselves.
            among="" if reads_all else f"AND st.webhook_id IN ({numbers(recent)})",
            left=numbers(pk for pk, at in list(_left_at.items()) if at > since),
        )
        if reads_all:
            self._read_all_at = monotonic() + (monotonic() - begun_at) / ALL_SHARE
        return [pk for (pk,) in found if pk not in self.held]

    def _share(self, now: datetime, *, free: int = 0) -> int:
        """Return how many webhooks are this drain's share of those that are leased and of so many ``free`` ones."""
        ((leased,),) = read(statements.COUNT_LEASED, {"now": moment(now)})
        return (int(leased) + free) // self._drains + 1

    def _within_share(self, keys: list[int], now: datetime) -> list[int]:
        """Return those that are within this drain's share, and those that were left to others in vain."""
        room = max(0, self._share(now, free=len(keys)) - len(self.held)) if keys else 0
        seen_at = monotonic()
        self._beyond_share = {pk: self._beyond_share.get(pk, seen_at) for pk in keys[room:]}
        in_vain = [pk for pk, since in self._beyond_share.items() if seen_at - since >= LEFT_TO_OTHERS]
        return keys[:room] + in_vain

    def _end_leases_of_ended_sessions(self, now: datetime) -> None:
        """End the leases of drains whose session was found to be gone twice. Only PostgreSQL has such sessions."""
        if database().vendor != "postgresql" or monotonic() < self._sessions_at:
            return
        self._sessions_at = monotonic() + SESSIONS_EVERY
        params = {"token": self.token, "now": now, "space": LOCK_SPACE}
        ended = {token for (token,) in read(statements.ENDED_SESSIONS, params)}
        for token in ended & self._ended:
            write(statements.END_LEASES, {"token": token, "now": now})
        self._ended = ended


def leave_to_others(lacking: Collection[int], now: datetime) -> Collection[int]:
    """Return those of these webhooks, whose secrets the keys don't decrypt, that another drain may have the keys for.

    They are left to it for a while. No other drain has them if all have the same keys, or none has made an attempt since
    this process left the webhook.
    """
    if not DrainSlot.objects.held(now).exclude(keys=encryption.keys_mark()).exists():
        return ()
    left = []
    for pk in lacking:
        at = _left_at.get(pk)
        attempted = Q(succeeded_at__gte=at) | Q(failed_at__gte=at)
        if at is None or WebhookState.objects.filter(attempted, pk=pk).exists():
            left.append(pk)
            _left_at[pk] = now
    return left


# --- The webhooks that a drain holds, and their due deliveries ---

SECRET: Any = WebhookSecret._meta.get_field("value")


class Quota(NamedTuple):
    """At most ``limit`` deliveries of one priority of a webhook; with ``in_order`` the first open one of each object.

    A ``priority`` of None stands for retries, of any priority but manual ones. Those ``held`` are left out, and those
    that came due before ``after``.
    """

    webhook_id: int
    priority: int | None
    limit: int
    in_order: bool
    held: Collection[int]
    after: datetime | None


# Without the times that nothing is decided by: to read one takes longer than several other columns.
WEBHOOK = tuple(one for one in Webhook._meta.concrete_fields if one.name not in ("created_at", "updated_at"))
# What a drain needs to know of a webhook's state. The rest of it changes with each write of results.
STATE = tuple(
    map(WebhookState._meta.get_field, ("webhook", "failures", "paused_until", "held_until", "tokens", "tokens_at"))
)


@dataclass(slots=True, eq=False)
class WebhookRow:
    """A webhook as a worker needs it: with its state, and its signing secrets, the newest first."""

    webhook: Webhook
    sealed: list[Sealed]
    made_of: object = None
    """The rows that it was read from."""
    endpoint: Endpoint | None = None


def held_webhooks(
    keys: Iterable[int], *, token: str, now: datetime, known: dict[int, WebhookRow]
) -> dict[int, WebhookRow]:
    """Return those of these webhooks that the holder of ``token`` has leased, by their keys.

    A webhook that has not changed is the ``known`` one.
    """
    condition, params = among(keys)
    rows = read(
        statements.WEBHOOKS,
        {"token": token, "now": moment(now), **params},
        repeated=True,
        columns=columns_of(WEBHOOK, "w"),
        state=columns_of(STATE, "st"),
        among=condition,
    )
    held = {}
    # One row for each secret: they differ in it alone.
    for pk, group in groupby(rows, itemgetter(0)):
        found = list(group)
        if pk not in known or known[pk].made_of != found:
            secrets = [Sealed(secret, SECRET.place(pk)) for *_columns, secret in found if secret is not None]
            known[pk] = WebhookRow(instance(WEBHOOK, found[0][len(STATE) :]), secrets, found)
            known[pk].webhook.state = instance(STATE, found[0])
        held[pk] = known[pk]
    return held


def due_within(quotas: Sequence[Quota], *, now: datetime) -> list[ClaimedDelivery]:
    """Return the deliveries that came due first within each quota, in the order of their priorities and times."""
    of_priority = [quota for quota in quotas if quota.priority is not None]
    of_retries = [quota for quota in quotas if quota.priority is None]
    within = _each_within if database().vendor == "mysql" else _all_within
    rows: list[tuple[Any, ...]] = []
    for kind, chosen in ((statements.OF_PRIORITY, of_priority), (statements.RETRIES, of_retries)):
        if chosen:
            due, params = within(chosen, kind)
            rows += read(statements.DUE, {"now": moment(now), **params}, repeated=True, due=filled(due))
    zone = database().timezone
    return [
        ClaimedDelivery._make(
            (*keys, numbered(body, number), quiet, priority, as_datetime(at, zone), as_datetime(due_at, zone))
        )
        for *keys, body, number, quiet, priority, at, due_at in rows
    ]


def _each_within(quotas: Sequence[Quota], kind: str) -> tuple[str, Mapping[str, Any]]:
    """Return the query for the deliveries within quotas of one kind, and its parameters: a query for each quota."""
    queries = [
        statements.WITHIN_QUOTA.format(
            webhook_id=quota.webhook_id,
            where=kind.format(priority=quota.priority, after=f"'{moment(quota.after or LONG_AGO)}'"),
            limit=quota.limit,
            held=numbers(quota.held),
            in_order=f"AND {statements.IS_FIRST_OF_OBJECT}" if quota.in_order else "",
        )
        for quota in quotas
    ]
    return " UNION ALL ".join(queries), {}


def _all_within(quotas: Sequence[Quota], kind: str) -> tuple[str, Mapping[str, Any]]:
    """Return the query for the deliveries within quotas of one kind, and its parameters: one for all quotas."""
    vendor = database().vendor
    held: set[int] = set().union(*(quota.held for quota in quotas))
    # Most of the times are the same.
    times = {after: after and moment(after) for after in {quota.after for quota in quotas}}
    lines = [{**quota._asdict(), "held": (), "after": times[quota.after]} for quota in quotas]
    if vendor == "sqlite":
        params = {"quotas": as_json(lines), "held": f"[{numbers(held)}]"}
    else:
        params = {name: array(line[name] for line in lines) for name in Quota._fields} | {"held": array(held)}
    due = statements.WITHIN_QUOTAS[vendor].format(
        where=kind.format(**statements.IN_QUOTAS[vendor]),
        in_order=statements.IS_FIRST_OF_OBJECT,
        # Few texts, so that each is prepared.
        limit=1 << (max(quota.limit for quota in quotas) - 1).bit_length(),
    )
    return due, params


def next_due_at(*, token: str, now: datetime) -> tuple[datetime | None, bool]:
    """Return when something comes due, a webhook may receive again, or another drain's lease ends; None without that.

    The second value is whether another drain holds a webhook.
    """
    ((at, others),) = read(statements.NEXT_DUE, {"now": moment(now), "token": token}, repeated=True)
    return as_datetime(at), others > 0
