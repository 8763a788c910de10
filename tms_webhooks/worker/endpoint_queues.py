"""Decides which webhook is served next: a queue for each webhook that a drain holds, and the turns of their requests.

Slots are shared among organizations first, and then among the webhooks of each. Used by one thread.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Set
from datetime import datetime
from itertools import chain, zip_longest
from time import monotonic

from tms_webhooks.choices import Priority
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery.outgoing import ClaimedDelivery, OutgoingRequest, SendResult
from tms_webhooks.models import Webhook
from tms_webhooks.models.webhook import RateLimit
from tms_webhooks.worker.leases import OVERLAP, Quota

# Besides the requests in flight, a queue holds those that a receiver takes in this many seconds. All queues together hold
# about the second number.
PREFETCH_SECONDS = 0.1
MAX_PREFETCH = 1_024
# While an ordered webhook waits for an answer, less is read together: its next request waits for the end of a read.
MAX_PREFETCH_NEXT_TO_ORDERED = 256
# Waiting requests are read again after this number of seconds: a user may have cancelled them, or disabled the webhook.
FRESH_SECONDS = 1.0
# A webhook without work is given back after this number of seconds.
IDLE_SECONDS = 2.0
# Seconds between two reads of deliveries that came due long before the last read (see OVERLAP).
UNBOUNDED_EVERY = 10.0

# The two kinds of requests: live and manual ones, and replays.
LIVE, REPLAYS = False, True
# While live deliveries are due, a webhook gets so many of them for each replay.
LIVE_PER_REPLAY = 3
# After a drain has sent a live delivery, it reads few replays of a webhook together for these seconds. The next live one
# waits for the end of a read.
LIVE_SECONDS, FEW_REPLAYS = 1.0, 8


class AdaptiveLimit:
    """How many requests of one webhook may be in flight, by how its receiver answers.

    It begins with 2 and grows by one for each round of answers that are successes and not slower than before. It halves
    where a receiver times out, is overloaded, or takes twice as long as before, and then once for all requests in
    flight. At the beginning, after it has halved, and after many rounds without growth, the second round measures how
    long an answer usually takes. The first one opens connections.
    """

    FIRST = 2
    # A round has at least this many answers, so that chance does not decide.
    LEAST_ROUND = 8
    # Answers that are this much slower end the growth; this much slower, they halve the limit. The seconds are noise.
    SLOWER, TWICE, NOISE = 1.25, 2.0, 0.001
    # Rounds without growth after which the usual time is measured again.
    STALE_ROUNDS = 64

    __slots__ = ("_answers", "_outdated", "_rounds", "_seconds", "_usual", "_was_full", "limit", "seconds_each")

    def __init__(self) -> None:
        self.limit = self.FIRST
        self.seconds_each = float("inf")
        """The mean seconds of an answer in the last round; infinity before."""
        self._usual: float | None = None
        self._rounds = 0
        self._begin_round()
        # How many requests are in flight that began under a higher limit: their answers say nothing about this one.
        self._outdated = 0

    def answered(self, seconds: float, *, is_success: bool, is_overloaded: bool, ceiling: int, in_flight: int) -> None:
        """Note one answer of the requests in flight, itself included. The limit does not grow above ``ceiling``."""
        if self._outdated:
            self._outdated -= 1
            return
        self._was_full |= in_flight >= self.limit
        if is_overloaded:
            self._halve(in_flight)
            return
        if not is_success:
            return
        self._answers += 1
        self._seconds += seconds
        if self._answers >= max(self.LEAST_ROUND, self.limit):
            self._end_round(ceiling, in_flight)

    def _end_round(self, ceiling: int, in_flight: int) -> None:
        mean = self.seconds_each = self._seconds / self._answers
        may_grow = self._was_full and self.limit < ceiling
        self._begin_round()
        self._rounds += 1
        if self._usual is None:
            if self._rounds == 1:
                return
            self._usual = mean
        if mean > self.TWICE * self._usual + self.NOISE or self._rounds > self.STALE_ROUNDS:
            self._halve(in_flight)
        elif not may_grow or mean <= self.SLOWER * self._usual + self.NOISE:
            self.limit += may_grow
            self._rounds = 0

    def _halve(self, in_flight: int) -> None:
        self.limit = max(1, self.limit // 2)
        self._usual, self._rounds, self._outdated = None, 0, in_flight - 1
        self._begin_round()

    def _begin_round(self) -> None:
        # The answers, their seconds, and whether the limit was reached.
        self._answers, self._seconds, self._was_full = 0, 0.0, False


class EndpointQueue:
    """One webhook: its waiting requests, those in flight, and its limits.

    Replays wait in a queue of their own. While others are due, every fourth request is one, and otherwise all are.
    """

    def __init__(self, webhook_id: int, limit: AdaptiveLimit, queues: EndpointQueues) -> None:
        self.webhook_id, self._queues = webhook_id, queues
        self.webhook: Webhook | None = None
        self.organization: object = None
        # How many requests may be in flight, and how many the receiver can take.
        self.slots, self.limit = limit.FIRST, limit
        self.rate: RateLimit | None = None
        # Of each kind: the waiting requests, and whether more may be due than was read.
        self.waiting = (deque[OutgoingRequest](), deque[OutgoingRequest]())
        self.has_more = [True, True]
        # The deliveries that wait here, are in flight, or have a result that is not written yet.
        self.held: set[int] = set()
        self.in_flight = 0
        # How many other requests were sent since the last replay. The first one may be a replay.
        self.live_since_replay = LIVE_PER_REPLAY
        # When the waiting requests were read; when the queue had work last.
        self.read_at, self.worked_at = 0.0, monotonic()
        # What the last read asked for, of each kind. By priority: nothing that came due earlier is open and not held. When
        # the next read ignores that.
        self.asked = [0, 0]
        self.bounds: dict[int, datetime] = {}
        self.unbounded_at = 0.0
        # How many results, not written yet, keep the rest from going out.
        self.halts = 0
        # Whether nothing more is sent, because the webhook is to be given back.
        self.is_leaving = False

    @property
    def may_send(self) -> bool:
        """Whether a request may go out now."""
        is_full = self.in_flight >= min(self.slots, self.limit.limit)
        return not (is_full or self.halts or self.is_leaving) and any(self.waiting)

    @property
    def waits_for_rate(self) -> bool:
        """Whether more may be due than its rate limit allows now."""
        return self.rate is not None and any(self.has_more) and not self.is_leaving

    def throttle(self, now: datetime) -> float:
        """Return the seconds until its rate limit allows a request; 0 without a limit."""
        return 0.0 if self.rate is None else self.rate.seconds_until_allowed(now)

    def clear(self) -> None:
        """Drop the waiting requests. They are still due, and are read again."""
        for requests in self.waiting:
            self.held.difference_update(one.delivery_id for one in requests)
            requests.clear()
        # They came due below the bounds of the next read.
        self.bounds.clear()
        self.has_more = [True, True]

    @property
    def wanted(self) -> list[int]:
        """How many more deliveries, and how many more replays, are worth reading now."""
        if self.is_leaving or self.halts or not any(self.has_more):
            return [0, 0]
        # The requests that the receiver takes now, and one after the other in the next moment.
        most = min(self.slots, self.limit.limit)
        rounds = int(PREFETCH_SECONDS / max(self.limit.seconds_each, 1e-6))
        prefetch = MAX_PREFETCH_NEXT_TO_ORDERED if self._queues.ordered else MAX_PREFETCH
        room = max(0, most - self.in_flight) + min(most * rounds, prefetch // max(1, len(self._queues.keys)))
        for_replays = room if monotonic() > self._queues.live_until else min(room, FEW_REPLAYS)
        if self.waiting[LIVE] or self.has_more[LIVE]:
            # Of a receiver that takes few, one in its turn.
            of_turns = min(room, self.live_since_replay // LIVE_PER_REPLAY, 1)
            for_replays = max(for_replays // (LIVE_PER_REPLAY + 1), of_turns)
        waiting = [len(requests) for requests in self.waiting]
        allowed = room if self.rate is None else int(self.rate.allowed(self._queues.clock())) - sum(waiting)
        return [
            max(0, min(room - held, allowed)) if has_more and 2 * held <= room else 0
            for room, held, has_more in zip((room, for_replays), waiting, self.has_more, strict=True)
        ]

    def quotas(self, webhook: Webhook, now: datetime) -> list[Quota]:
        """Return what to read for this queue. ``webhook`` is its row of now."""
        # A row that has not changed is the same object.
        if webhook is not self.webhook:
            self.configure(webhook)
        live, replays = self.asked = self.wanted
        if monotonic() >= self.unbounded_at:
            self.bounds, self.unbounded_at = {}, monotonic() + UNBOUNDED_EVERY
        due: list[tuple[int | None, int]] = []
        if webhook.deleted_at is None and not webhook.pull_only:
            due.append((Priority.MANUAL.value, live))
        if webhook.is_awake(now):
            due += [(Priority.LIVE.value, live), (Priority.REPLAY.value, replays)]
        elif webhook.takes_retries(now):
            due.append((None, live))
        return [
            Quota(
                self.webhook_id,
                priority,
                limit,
                # A user who sends one does not expect it to wait for earlier ones.
                webhook.ordered and priority != Priority.MANUAL,
                self.held,
                self.bounds.get(priority or 0),
            )
            for priority, limit in due
            if limit > 0
        ]

    def configure(self, webhook: Webhook) -> None:
        """Note the row of the webhook."""
        if self.webhook is None:
            self.organization = webhook.organization_id
        before, self.rate = self.rate, RateLimit.of(webhook)
        if before is not None and self.rate is not None:
            self.rate.tokens, self.rate.tokens_at = before.tokens, before.tokens_at
        # The setting is the ceiling; a webhook may have a lower one. One that is ordered gets one request at a time, and one
        # that probes the receiver after a pause.
        most, is_probing = app_settings.MAX_IN_FLIGHT, webhook.state.failures >= app_settings.PAUSE_AFTER_FAILURES
        self.slots = 1 if webhook.ordered or is_probing else min(webhook.max_in_flight or most, most)
        self.webhook = webhook

    def note_read(self, quotas: Collection[Quota], found: Collection[ClaimedDelivery], now: datetime) -> None:
        """Note which deliveries were found within the last `quotas`: whether more may be due, and from when on."""
        counts: Counter[int | None] = Counter(one.priority for one in found)
        counts[None] = len(found) - counts[Priority.MANUAL]
        full = {quota.priority == Priority.REPLAY for quota in quotas if quota.limit <= counts[quota.priority]}
        for kind in (LIVE, REPLAYS):
            if self.asked[kind]:
                self.has_more[kind] = kind in full
        for quota in quotas:
            # Of an ordered webhook, earlier ones may be blocked. A user may have a delivery sent that is long due.
            if quota.priority and not quota.in_order:
                first = (one.due_at for one in found if one.priority == quota.priority and one.due_at)
                self.bounds[quota.priority] = min([*first, now - OVERLAP])


class EndpointQueues:
    """Hands out the requests of a drain, rotating over organizations and their webhooks, within each one's limits.

    ``slots`` is how many may be in flight.
    """

    live_until = 0.0
    """Until when live deliveries are expected, by `monotonic`."""

    def __init__(self, *, slots: int, clock: Callable[[], datetime]) -> None:
        self._queues: dict[int, EndpointQueue] = {}
        # Kept when a webhook is given back: it is likely to come again.
        self._limits: defaultdict[int, AdaptiveLimit] = defaultdict(AdaptiveLimit)
        # The queues of webhooks that are still to be given back.
        self.closed: dict[int, EndpointQueue] = {}
        # Those for which more may be worth reading, in their order.
        self._short: dict[int, EndpointQueue] = {}
        # The free slots, and those that each organization has taken.
        self._free, self._taken = slots, Counter[object]()
        self.clock = clock
        # The turns: organizations, and the webhooks of each that have a request which may go out. Apart from them, those of
        # organizations that have to leave the free slots to others.
        self._turns: OrderedDict[object, OrderedDict[int, None]] = OrderedDict()
        self._over_share: OrderedDict[object, OrderedDict[int, None]] = OrderedDict()
        self.in_flight = 0
        # Of those in flight, the requests of ordered webhooks, which get the next one when this one is done.
        self.ordered = 0

    @property
    def keys(self) -> Set[int]:
        """The webhooks that have a queue."""
        return self._queues.keys()

    def lease(self, keys: Iterable[int]) -> None:
        """Have a queue for each of these webhooks, which were leased."""
        for key in keys:
            queue = self._short[key] = self._queues.setdefault(key, EndpointQueue(key, self._limits[key], self))
            queue.is_leaving = False

    def drop(self, keys: Iterable[int]) -> None:
        """Send nothing more to these webhooks. Each is in ``closed`` as soon as nothing of it is in flight."""
        for queue in [self._queues[key] for key in keys if key in self._queues]:
            queue.clear()
            queue.is_leaving = True
            if not queue.held:
                self.closed[queue.webhook_id] = self._queues.pop(queue.webhook_id)

    # --- Reading ---

    def expect_more(self, keys: Set[int]) -> None:
        """Note that more may be due for these webhooks, if they have a queue."""
        for key in keys & self._queues.keys():
            queue = self._short[key] = self._queues[key]
            queue.has_more = [True, True]

    def to_read(self, limit: int) -> list[EndpointQueue]:
        """Return the queues to read for, in turns of the organizations: as many as take ``limit`` deliveries together."""
        by_organization = defaultdict[object, list[EndpointQueue]](list)
        wanting = dict(self.wanting())
        for queue in sorted(wanting, key=lambda queue: queue.read_at):
            by_organization[queue.organization].append(queue)
        chosen = []
        for queue in filter(None, chain.from_iterable(zip_longest(*by_organization.values()))):
            chosen.append(queue)
            limit -= wanting[queue]
            if limit <= 0:
                break
        return chosen

    def wanting(self) -> Iterator[tuple[EndpointQueue, int]]:
        """Yield the queues for which more is worth reading, with the number of deliveries."""
        for key, queue in list(self._short.items()):
            if wanted := sum(queue.wanted):
                yield queue, wanted
            elif not queue.waits_for_rate:
                del self._short[key]

    def add(self, requests: Iterable[OutgoingRequest]) -> None:
        """Add requests that were read."""
        for request in requests:
            queue = self._queues[request.webhook_id]
            if not any(queue.waiting):
                queue.read_at = monotonic()
            waiting = queue.waiting[request.is_replay]
            if request.is_manual:
                waiting.appendleft(request)
            else:
                waiting.append(request)
            queue.held.add(request.delivery_id)
            self._update_turn(queue)

    def throttle(self, webhook_id: int) -> float:
        """Return the seconds until the rate limit of a webhook allows a request; 0 without a limit."""
        return self._queues[webhook_id].throttle(self.clock())

    def seconds_until_allowed(self) -> Iterator[float]:
        """Yield the seconds until the rate limit of each webhook that waits for it allows a request."""
        for queue in self._short.values():
            if queue.waits_for_rate and (seconds := queue.throttle(self.clock())) > 0:
                yield seconds

    # --- Sending ---

    @property
    def may_start(self) -> bool:
        """Whether `next` may have a request."""
        return bool(self._turns and self._free)

    @property
    def has_work(self) -> bool:
        """Whether a request may be started, or more is worth reading."""
        return self.may_start or any(self.wanting())

    def next(self) -> OutgoingRequest | None:
        """Return the next request to send, which is in flight then; None if no request may go out."""
        while self.may_start:
            organization, webhooks = self._turns.popitem(last=False)
            taken = self._taken[organization]
            # An organization may take up to three times as many as it leaves free: three quarters of all at most. The last
            # free one is for an organization that has none.
            if taken >= 3 * self._free or (taken and self._free == 1):
                self._over_share[organization] = webhooks
                continue
            key, _ = webhooks.popitem(last=False)
            if webhooks:
                self._turns[organization] = webhooks
            # None if the webhook was given back since it got its turn.
            queue = self._queues.get(key)
            if queue is None:
                continue
            if (queue.rate and queue.throttle(self.clock()) > 0) or monotonic() - queue.read_at > FRESH_SECONDS:
                queue.clear()
                self._short[key] = queue
            if not queue.may_send:
                continue
            live, replays = queue.waiting
            is_replay = bool(replays) and (not live or queue.live_since_replay >= LIVE_PER_REPLAY)
            request = queue.waiting[is_replay].popleft()
            queue.worked_at = monotonic()
            queue.live_since_replay = 0 if is_replay else queue.live_since_replay + 1
            if not is_replay:
                self.live_until = queue.worked_at + LIVE_SECONDS
            self._count(request, queue, 1)
            if queue.rate is not None:
                queue.rate.take(self.clock())
            self._update_turn(queue)
            return request
        return None

    def put_back(self, request: OutgoingRequest) -> None:
        """Put a request of `next` that was not started back: it is the first of its organization, which gets the next turn."""
        queue = self._queues[request.webhook_id]
        queue.waiting[request.is_replay].appendleft(request)
        queue.live_since_replay = LIVE_PER_REPLAY if request.is_replay else queue.live_since_replay - 1
        self._free_slot(request, queue)
        if queue.may_send:
            self._turns[queue.organization].move_to_end(queue.webhook_id, last=False)
            self._turns.move_to_end(queue.organization, last=False)

    def answered(self, result: SendResult, seconds: float) -> bool:
        """Note that a request came back, and how long its receiver took.

        Return whether its webhook gets the next request only when the result is `written`. After a failure the webhook may be
        paused or disabled, which is only known then.
        """
        request, outcome = result.request, result.outcome
        queue = self._queues[request.webhook_id]
        queue.halts += outcome.may_stop_webhook
        queue.limit.answered(
            seconds,
            is_success=outcome.success,
            is_overloaded=outcome.timed_out or result.status == 429 or (result.status or 0) >= 500,
            ceiling=queue.slots,
            in_flight=queue.in_flight,
        )
        queue.worked_at = monotonic()
        self._free_slot(request, queue)
        return queue.halts > 0 or (request.endpoint.webhook.ordered and not any(queue.waiting))

    def written(self, result: SendResult, *, is_lost: bool = False) -> None:
        """Note that a result was written. A delivery that waited for it may be due now.

        One whose result is lost stays held: it would be sent again and again.
        """
        request = result.request
        queue = self._queues[request.webhook_id]
        if not is_lost:
            queue.held.discard(request.delivery_id)
        if result.outcome.may_stop_webhook:
            queue.halts -= 1
            # The webhook may be paused, held or disabled now.
            queue.clear()
        queue.has_more[LIVE] |= request.endpoint.webhook.ordered
        self._update_turn(queue)

    # --- Giving back ---

    def leave(self, number: int) -> None:
        """Give so many webhooks back, as soon as nothing of them is in flight."""
        # Those first that are being given back already.
        queues = sorted(self._queues.values(), key=lambda queue: (not queue.is_leaving, len(queue.held)))
        self.drop([queue.webhook_id for queue in queues[:number]])

    def drop_unused(self) -> None:
        """Give back the webhooks that have had nothing to send for a while."""
        idle_since = monotonic() - IDLE_SECONDS
        self.drop(
            key
            for key, queue in self._queues.items()
            if not (queue.held or any(queue.has_more)) and queue.worked_at <= idle_since
        )

    def _free_slot(self, request: OutgoingRequest, queue: EndpointQueue) -> None:
        """Count a request that is no longer in flight. Its slot may be for any organization."""
        self._count(request, queue, -1)
        self._turns.update(self._over_share)
        self._over_share.clear()
        self._update_turn(queue)

    def _count(self, request: OutgoingRequest, queue: EndpointQueue, change: int) -> None:
        queue.in_flight += change
        self.in_flight += change
        self.ordered += change * request.endpoint.webhook.ordered
        self._free -= change
        self._taken[queue.organization] += change

    def _update_turn(self, queue: EndpointQueue) -> None:
        """Give a webhook a turn, if a request of it may go out now. Maybe more is worth reading, or it can be given back."""
        self._short[queue.webhook_id] = queue
        if queue.may_send:
            turns = self._over_share if queue.organization in self._over_share else self._turns
            turns.setdefault(queue.organization, OrderedDict())[queue.webhook_id] = None
        elif queue.is_leaving:
            self.drop([queue.webhook_id])
