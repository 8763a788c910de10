"""The claim: which due deliveries a worker sends next, fairly over the webhooks, under a lease.

Three steps: read some due deliveries and their webhooks; choose within each webhook's capacity; lease the chosen deliveries.
The statements of all three are in `tms_webhooks.worker.claim_queries`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from tms_webhooks.choices import Priority
from tms_webhooks.delivery.outgoing import OutgoingRequest
from tms_webhooks.models import Delivery, Webhook
from tms_webhooks.worker import claim_queries
from tms_webhooks.worker.claim_queries import OLDEST_LIMIT, ClaimQuota, DueDelivery, WebhookRow
from tms_webhooks.worker.concurrency import Capacity, Prefetch, capacity_of
from tms_webhooks.worker.send import make_requests

# Sorts webhooks that were never served before all others.
NEVER = datetime.min.replace(tzinfo=UTC)


class Claim(NamedTuple):
    """The requests that a worker got to send.

    ``full`` are the webhooks that may have more deliveries due than capacity left; ``is_complete`` says whether the
    claim looked at all that is due.
    """

    requests: list[OutgoingRequest]
    full: Collection[int] = ()
    is_complete: bool = True


def claim(
    *,
    token: str,
    now: datetime,
    until: datetime,
    limit: int,
    prefetch: Prefetch = lambda _webhook_id, concurrency: concurrency,
    only_new: bool = False,
) -> Claim:
    """Lease up to ``limit`` deliveries to the holder of ``token`` until ``until``, and return them as requests.

    Leaves out webhooks that are paused, have used up their rate limit, or have as many deliveries in flight, of all
    workers, as they may. Of the others the least recently served come first. The deliveries of a worker that died are
    due when its lease is over.

    With ``only_new`` it reads a few that came due last, and none of a webhook for which older ones wait. That is quick
    however much is due that can't be sent now, as for a webhook that is down.
    """
    read_due = claim_queries.newest_due if only_new else claim_queries.oldest_due
    due = read_due(token=token, now=now) if limit > 0 else []
    if not due:
        return Claim([])
    all_due = due if only_new or len(due) < OLDEST_LIMIT else None
    rows = _webhooks_to_serve(all_due, now, token=token, limit=limit, prefetch=prefetch)
    capacities = _capacities(rows, now, prefetch=prefetch)
    webhooks = {row.webhook.pk: row for row in rows if capacities[row.webhook.pk].free > 0}
    if not webhooks:
        return Claim([], capacities.keys(), is_complete=all_due is not None)
    found = _next_deliveries(webhooks, all_due, capacities, now=now, token=token, limit=limit)
    claimed = claim_queries.lease(found, webhooks=webhooks, token=token, now=now, until=until)
    counts = Counter(webhook_id for _pk, webhook_id in found)
    full = {pk for pk, capacity in capacities.items() if counts[pk] >= capacity.free}
    requests = make_requests(
        claimed, webhooks=webhooks, concurrency={pk: capacities[pk].concurrency for pk in webhooks}
    )
    return Claim(requests, full, is_complete=all_due is not None)


def next_due_at(now: datetime) -> datetime | None:
    """Return when the next delivery comes due that was not due at ``now``, or None where none waits."""
    later = Delivery.objects.filter(due_at__gt=now).order_by("due_at")
    return later.values_list("due_at", flat=True).first()


def _webhooks_to_serve(
    all_due: Iterable[DueDelivery] | None, now: datetime, *, token: str, limit: int, prefetch: Prefetch
) -> list[WebhookRow]:
    """Return the webhooks that a delivery can be sent to now, the least recently served first.

    ``all_due`` are all due deliveries, where they are known. Whether an ordered webhook has the first open delivery of
    an object is only known to the database.
    """
    among: Collection[int] | None = None
    if all_due is not None:
        priorities: dict[int, set[int]] = defaultdict(set)
        for one in all_due:
            priorities[one.webhook_id].add(one.priority)
        rows = claim_queries.webhooks_with_keys(priorities, token=token, now=now)
        if not any(row.webhook.ordered for row in rows):
            with_work = [row for row in rows if _has_work(row, priorities[row.webhook.pk], now)]
            return sorted(with_work, key=_last_service)[:limit]
        among = priorities.keys()
    return sorted(_webhooks_with_work(among, now, token=token, limit=limit, prefetch=prefetch), key=_last_service)


def _has_work(row: WebhookRow, priorities: Collection[int], now: datetime) -> bool:
    """Decide for a webhook that is not ordered as `claim_queries.HAS_WORK` does. Its capacity is checked later."""
    if row.webhook.deleted_at is not None:
        return False
    return Priority.MANUAL in priorities or (
        row.webhook.is_awake(now)
        and (Priority.LIVE in priorities or (Priority.REPLAY in priorities and not row.in_flight.replays))
    )


def _last_service(row: WebhookRow) -> tuple[datetime, int]:
    return row.webhook.served_at or NEVER, row.webhook.pk


def _webhooks_with_work(
    among: Collection[int] | None, now: datetime, *, token: str, limit: int, prefetch: Prefetch
) -> list[WebhookRow]:
    """Read up to ``limit`` webhooks with work; full ones are among them only if fewer than ``limit`` have work."""
    rows = claim_queries.webhooks_with_work(among, token=token, now=now, limit=limit)
    if len(rows) < limit:
        return rows
    # Full webhooks must not take the places of others.
    limited = _capacities(claim_queries.limited_webhooks(token=token, now=now), now, prefetch=prefetch)
    full = [pk for pk, capacity in limited.items() if capacity.free <= 0]
    return claim_queries.webhooks_with_work(among, full, token=token, now=now, limit=limit) if full else rows


def _capacities(rows: Iterable[WebhookRow], now: datetime, *, prefetch: Prefetch) -> Mapping[int, Capacity]:
    """Return this worker's capacity for each webhook, by its key."""
    return {row.webhook.pk: capacity_of(row.webhook, now, in_flight=row.in_flight, prefetch=prefetch) for row in rows}


def _next_deliveries(
    webhooks: Mapping[int, WebhookRow],
    all_due: Iterable[DueDelivery] | None,
    capacities: Mapping[int, Capacity],
    *,
    now: datetime,
    token: str,
    limit: int,
) -> list[tuple[int, int]]:
    """Return (delivery, webhook) of the next ones: the first of each webhook, in their order, before the second of any.

    Replays go one at a time per webhook, and only where fewer live deliveries are due than it has capacity for.
    """
    # To read more than twice a fair share of each would be in vain where all have plenty.
    share = max(1, -(-2 * limit // max(1, len(webhooks))))
    quotas = list(_quotas([row.webhook for row in webhooks.values()], capacities, now, limit=share))
    if all_due is None or any(quota.in_order for quota in quotas):
        all_due = claim_queries.due_within(quotas, token=token, now=now)
    by_webhook: dict[int, list[DueDelivery]] = defaultdict(list)
    for one in _within(quotas, all_due):
        by_webhook[one.webhook_id].append(one)
    rounds = [
        (round_number, rank, one.pk, pk)
        for rank, pk in enumerate(webhooks)
        # By the priority alone: within it they are in the order of their due times.
        for round_number, one in enumerate(_by_priority(by_webhook[pk])[: capacities[pk].free])
    ]
    return [(delivery_id, webhook_id) for _round, _rank, delivery_id, webhook_id in sorted(rounds)[:limit]]


def _by_priority(due: Iterable[DueDelivery]) -> list[DueDelivery]:
    return sorted(due, key=lambda one: one.priority)


def _quotas(
    webhooks: Iterable[Webhook], capacities: Mapping[int, Capacity], now: datetime, *, limit: int
) -> Iterator[ClaimQuota]:
    """Yield how many deliveries of each priority a webhook may get."""
    for webhook in webhooks:
        capacity = capacities[webhook.pk]
        free = {Priority.MANUAL: capacity.free}
        if webhook.is_awake(now):
            free |= {Priority.LIVE: capacity.free, Priority.REPLAY: capacity.free_replays}
        for priority, count in free.items():
            if count > 0:
                # A user who sends one by hand does not expect it to wait for earlier ones.
                in_order = webhook.ordered and priority != Priority.MANUAL
                yield ClaimQuota(webhook.pk, priority.value, min(count, limit), in_order=in_order)


def _within(quotas: Sequence[ClaimQuota], due: Iterable[DueDelivery]) -> Iterator[DueDelivery]:
    """Keep no more of each priority of a webhook than its quota."""
    left = Counter({(quota.webhook_id, quota.priority): quota.limit for quota in quotas})
    for one in due:
        left[one.webhook_id, one.priority] -= 1
        if left[one.webhook_id, one.priority] >= 0:
            yield one
