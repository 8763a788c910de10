"""The claim: which due deliveries a worker sends next, fairly over the webhooks, under a lease.

Three steps: read some due deliveries and their webhooks; choose within each webhook's capacity; lease the chosen deliveries.
The statements of all three are in `tms_webhooks.worker.claim_queries`.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum, auto
from typing import NamedTuple

from tms_webhooks.choices import ErrorClass, Priority
from tms_webhooks.delivery.outgoing import OutgoingRequest
from tms_webhooks.models import Delivery, DrainSlot, Webhook, WebhookState, encryption
from tms_webhooks.worker import claim_queries
from tms_webhooks.worker.claim_queries import OLDEST_LIMIT, ClaimQuota, DueDelivery, WebhookRow, webhooks_with_keys
from tms_webhooks.worker.concurrency import (
    LIVE_PER_REPLAY,
    Capacity,
    Wanted,
    WantedReplays,
    all_of_it,
    capacity_of,
    none_of_it,
)
from tms_webhooks.worker.send import Endpoints, make_requests

# Sorts webhooks that were never served before all others.
NEVER = datetime.min.replace(tzinfo=UTC)

# When this process left webhooks to others, because its keys don't decrypt their secrets; by the mark of the keys, and
# the webhook. A drain of a queue lives for seconds only.
_left_at: dict[tuple[str, int], datetime] = {}


class ClaimScope(Enum):
    """How much of the due deliveries a claim reads."""

    NEW = auto()
    EVERYTHING = auto()


class Claim(NamedTuple):
    """The requests that a worker got to send.

    ``capacities`` are those of all webhooks that the claim looked at; the ``full`` ones among these may have more
    deliveries due than were claimed. ``is_complete`` says whether the claim looked at all that is due. ``left`` are
    the claimed deliveries that another worker may have the keys for.
    """

    requests: list[OutgoingRequest]
    capacities: Mapping[int, Capacity] = {}
    full: Collection[int] = ()
    is_complete: bool = True
    left: Sequence[int] = ()


class Claimer:
    """Claims deliveries for one worker, as the holder of ``token``.

    ``wanted`` returns how many more deliveries of a webhook the worker wants, and ``wanted_replays`` how many replays.
    The second number of it counts those that it wants while live ones are due. ``allowance`` returns how many deliveries of an organization it wants.
    """

    def __init__(
        self,
        token: str,
        *,
        wanted: Wanted = all_of_it,
        wanted_replays: WantedReplays = lambda _webhook: (1, 0),
        allowance: Callable[[object], int] = lambda _organization: sys.maxsize,
    ) -> None:
        self._token = token
        self._wanted, self._wanted_replays = wanted, wanted_replays
        self._allowance = allowance
        self._endpoints = Endpoints()

    def claim(
        self, scope: ClaimScope | Collection[int] = ClaimScope.EVERYTHING, *, now: datetime, until: datetime, limit: int
    ) -> Claim:
        """Lease up to ``limit`` deliveries until ``until``, and return them as requests.

        Leaves out webhooks that are held, have used up their rate limit, or have as many deliveries in flight, of all
        workers, as they may. Organizations get their turns first, and their webhooks then, the least recently served
        first. A paused webhook gets its retries alone, one at a time. The deliveries of a worker that died are due when
        its lease is over.

        A ``scope`` of keys reads these webhooks alone. ``NEW`` reads a few deliveries that came due last, and none of a
        webhook for which older ones wait. Both are quick however much is due that can't be sent now, as for a webhook
        that is down.
        """
        if limit <= 0:
            return Claim([])
        if isinstance(scope, ClaimScope):
            is_new = scope is ClaimScope.NEW
            due = (claim_queries.newest_due if is_new else claim_queries.oldest_due)(token=self._token, now=now)
            if not due:
                return Claim([])
            all_due = due if is_new or len(due) < OLDEST_LIMIT else None
            rows = self._webhooks_to_serve(all_due, now, limit=limit)
        else:
            all_due = None
            rows = [
                row for row in webhooks_with_keys(scope, token=self._token, now=now) if row.webhook.deleted_at is None
            ]
            rows.sort(key=_last_service)
        return self._claim_from(rows, all_due, now=now, until=until, limit=limit)

    def _claim_from(
        self,
        rows: Sequence[WebhookRow],
        all_due: Iterable[DueDelivery] | None,
        *,
        now: datetime,
        until: datetime,
        limit: int,
    ) -> Claim:
        capacities = self._capacities(rows, now)
        webhooks = {row.webhook.pk: row for row in rows if capacities[row.webhook.pk].free > 0}
        if not webhooks:
            return Claim([], capacities, capacities.keys(), is_complete=all_due is not None)
        chosen, full = self._next_deliveries(webhooks, all_due, capacities, now=now, limit=limit)
        pairs = [(one.pk, one.webhook_id) for one in chosen]
        claimed = claim_queries.lease(pairs, webhooks=webhooks, token=self._token, now=now, until=until)
        requests = make_requests(claimed, webhooks=webhooks, known=self._endpoints)
        left = _leave_to_others(requests, now)
        return Claim(
            [request for request in requests if request.webhook_id not in left],
            capacities,
            full,
            is_complete=all_due is not None,
            left=[request.delivery_id for request in requests if request.webhook_id in left],
        )

    def _webhooks_to_serve(
        self, all_due: Iterable[DueDelivery] | None, now: datetime, *, limit: int
    ) -> list[WebhookRow]:
        """Return the webhooks that a delivery can be sent to now, the least recently served first.

        ``all_due`` are all due deliveries, where they are known. Whether an ordered webhook has the first open delivery
        of an object is only known to the database.
        """
        among: Collection[int] | None = None
        if all_due is not None:
            kinds: dict[int, set[tuple[int, int]]] = defaultdict(set)
            for one in all_due:
                kinds[one.webhook_id].add((one.priority, one.is_retry))
            rows = webhooks_with_keys(kinds, token=self._token, now=now)
            if not any(row.webhook.ordered for row in rows):
                with_work = [row for row in rows if _has_work(row, kinds[row.webhook.pk], now)]
                return sorted(with_work, key=_last_service)[:limit]
            among = kinds.keys()
        return sorted(self._webhooks_with_work(among, now, limit=limit), key=_last_service)

    def _webhooks_with_work(self, among: Collection[int] | None, now: datetime, *, limit: int) -> list[WebhookRow]:
        """Read up to ``limit`` webhooks with work; full ones are among them only if fewer than ``limit`` have work."""
        left = _left(now)
        rows = claim_queries.webhooks_with_work(among, left, token=self._token, now=now, limit=limit)
        if len(rows) < limit:
            return rows
        # Full webhooks must not take the places of others.
        limited = self._capacities(claim_queries.limited_webhooks(token=self._token, now=now), now)
        full = {pk for pk, capacity in limited.items() if capacity.free <= 0}
        if not full:
            return rows
        full |= left
        return claim_queries.webhooks_with_work(among, full, token=self._token, now=now, limit=limit)

    def _capacities(self, rows: Iterable[WebhookRow], now: datetime) -> Mapping[int, Capacity]:
        """Return this worker's capacity for each webhook, by its key."""
        left = _left(now)
        return {
            row.webhook.pk: capacity_of(
                row.webhook,
                now,
                in_flight=row.in_flight,
                wanted=self._wanted if row.webhook.pk not in left else none_of_it,
                wanted_replays=self._wanted_replays,
            )
            for row in rows
        }

    def _next_deliveries(
        self,
        webhooks: Mapping[int, WebhookRow],
        all_due: Iterable[DueDelivery] | None,
        capacities: Mapping[int, Capacity],
        *,
        now: datetime,
        limit: int,
    ) -> tuple[list[DueDelivery], Collection[int]]:
        """Return the next deliveries, in turns of the organizations, and of the webhooks of each; and who has more.

        One worker at a time has replays of a webhook.
        """
        # To read more than twice a fair share of each would be in vain where all have plenty.
        share = max(1, -(-2 * limit // max(1, len(webhooks))))
        quotas = list(_quotas([row.webhook for row in webhooks.values()], capacities, now, limit=share))
        if all_due is None or any(quota.in_order for quota in quotas):
            all_due = claim_queries.due_within(quotas, token=self._token, now=now)
        by_webhook: dict[int, list[DueDelivery]] = defaultdict(list)
        for one in _within(quotas, all_due):
            by_webhook[one.webhook_id].append(one)
        turns: dict[object, list[tuple[int, int, DueDelivery]]] = defaultdict(list)
        for rank, (pk, row) in enumerate(webhooks.items()):
            for number, one in enumerate(_interleaved(by_webhook[pk], capacities[pk])):
                turns[row.webhook.organization_id].append((number, rank, one))
        chosen = [
            (turn, position, one)
            for position, (organization, ones) in enumerate(turns.items())
            for turn, (_number, _rank, one) in enumerate(sorted(ones)[: self._allowance(organization)])
        ]
        found = [one for _turn, _position, one in sorted(chosen)[:limit]]
        return found, _full(capacities, by_webhook, found, share=share)


def _leave_to_others(requests: Iterable[OutgoingRequest], now: datetime) -> Collection[int]:
    """Return the webhooks whose secrets this worker's keys don't decrypt, but those of another worker may.

    No other worker may if all have the same keys, or none has made an attempt since this worker left the webhook.
    """
    lacking = {
        request.webhook_id
        for request in requests
        if request.endpoint.problem is not None and request.endpoint.problem.error_class == ErrorClass.KEYS_MISSING
    }
    if not lacking or not DrainSlot.objects.held(now).exclude(keys=encryption.keys_mark()).exists():
        return ()
    rows = WebhookState.objects.filter(pk__in=lacking).values_list("pk", "succeeded_at", "failed_at")
    attempted_at = {pk: max(succeeded_at or NEVER, failed_at or NEVER) for pk, succeeded_at, failed_at in rows}
    left = {pk for pk in lacking if _left_at.get((encryption.keys_mark(), pk), NEVER) <= attempted_at.get(pk, NEVER)}
    _left_at.update({(encryption.keys_mark(), pk): now for pk in left})
    return left


def _left(now: datetime) -> set[int]:
    """Return the webhooks that this process leaves to others for KEYS_WAIT."""
    if not _left_at:
        return set()
    wait, own = timedelta(seconds=encryption.KEYS_WAIT), encryption.keys_mark()
    return {pk for (keys, pk), left_at in list(_left_at.items()) if keys == own and now - left_at < wait}


def next_due_at(now: datetime) -> datetime | None:
    """Return when the next delivery comes due that was not due at ``now``, or None where none waits."""
    later = Delivery.objects.filter(due_at__gt=now).order_by("due_at")
    return later.values_list("due_at", flat=True).first()


def _has_work(row: WebhookRow, kinds: Iterable[tuple[int, int]], now: datetime) -> bool:
    """Decide for a webhook that is not ordered as `claim_queries.HAS_WORK` does. Its capacity is checked later.

    ``kinds`` are the priorities of its due deliveries, each with whether it is a retry.
    """
    if row.webhook.deleted_at is not None or row.webhook.pull_only:
        return False
    if not row.webhook.is_awake(now):
        takes_retries = row.webhook.takes_retries(now)
        return any(priority == Priority.MANUAL or (is_retry and takes_retries) for priority, is_retry in kinds)
    return any(priority != Priority.REPLAY or not row.in_flight.replays for priority, _is_retry in kinds)


def _full(
    capacities: Mapping[int, Capacity],
    due: Mapping[int, Sequence[DueDelivery]],
    chosen: Iterable[DueDelivery],
    *,
    share: int,
) -> Collection[int]:
    """Return the webhooks for which more may be due than was chosen, of which at most ``share`` were read for each."""
    counts = Counter(one.webhook_id for one in chosen)
    replayed = {one.webhook_id for one in chosen if one.priority == Priority.REPLAY}
    cut_short = {
        pk
        for pk, capacity in capacities.items()
        if len(due.get(pk, ())) >= min(share, capacity.free) or len(due.get(pk, ())) > counts[pk]
    }
    return replayed | cut_short | {pk for pk, capacity in capacities.items() if not capacity.free_replays}


def _last_service(row: WebhookRow) -> tuple[datetime, int]:
    return row.webhook.state.served_at or NEVER, row.webhook.pk


def _interleaved(due: Iterable[DueDelivery], capacity: Capacity) -> list[DueDelivery]:
    """Return the next deliveries of one webhook: by priority, but with a replay after each three of the others."""
    # By the priority alone: within it they are in the order of their due times.
    ones = sorted(due, key=lambda one: one.priority)
    replays = [one for one in ones if one.priority == Priority.REPLAY]
    reserved = min(len(replays), capacity.reserved_replays)
    chosen = ones[: len(ones) - len(replays)][: capacity.free - reserved]
    for index, one in enumerate(replays[: capacity.free - len(chosen)]):
        chosen.insert((LIVE_PER_REPLAY + 1) * index + LIVE_PER_REPLAY, one)
    return chosen


def _quotas(
    webhooks: Iterable[Webhook], capacities: Mapping[int, Capacity], now: datetime, *, limit: int
) -> Iterator[ClaimQuota]:
    """Yield how many deliveries of each priority a webhook may get."""
    for webhook in webhooks:
        if webhook.pull_only:
            continue  # it had a URL before, and the sweep skips its deliveries
        capacity = capacities[webhook.pk]
        free: dict[int | None, int] = {Priority.MANUAL.value: capacity.free}
        if webhook.is_awake(now):
            free |= {Priority.LIVE.value: capacity.free, Priority.REPLAY.value: capacity.free_replays}
        elif webhook.takes_retries(now):
            free |= {None: capacity.free}
        for priority, count in free.items():
            if count > 0:
                # A user who sends one does not expect it to wait for earlier ones.
                in_order = webhook.ordered and priority != Priority.MANUAL
                yield ClaimQuota(webhook.pk, priority, min(count, limit), in_order=in_order)


def _within(quotas: Sequence[ClaimQuota], due: Iterable[DueDelivery]) -> Iterator[DueDelivery]:
    """Keep no more of each priority of a webhook than its quota."""
    left = Counter({(quota.webhook_id, quota.priority): quota.limit for quota in quotas})
    for one in due:
        key: tuple[int, int | None] = one.webhook_id, one.priority
        if one.is_retry and one.priority != Priority.MANUAL and (one.webhook_id, None) in left:
            key = one.webhook_id, None
        left[key] -= 1
        if left[key] >= 0:
            yield one
