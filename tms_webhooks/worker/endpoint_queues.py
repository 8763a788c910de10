"""The deliveries that a worker holds: a queue for each webhook, and the turns in which their requests go out.

Slots are shared among organizations first, and then among the webhooks of each. Used by one thread.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Collection, Iterable, Mapping
from time import monotonic

from tms_webhooks.delivery.outgoing import OutgoingRequest, SendResult
from tms_webhooks.models import Webhook
from tms_webhooks.worker.concurrency import LIVE_PER_REPLAY, AdaptiveLimit, Capacity

# Besides the requests in flight, a worker holds those that a receiver takes in this many seconds, and at most this many
# times its limit.
PREFETCH_SECONDS = 0.1
MAX_PREFETCH = 64
# Of replays, it holds at most this many, and few while live ones are sent: these wait for a claim of replays to end.
MAX_REPLAYS, FEW_REPLAYS = 32, 4
# If no live delivery was sent for this number of seconds, replays get the whole capacity of a webhook.
QUIET_SECONDS = 1.0
# So many webhooks that have run short are worth a claim, even while other requests can be started.
MANY = 64


class Shares:
    """Shares a number of places among organizations. Each may take up to three times as many as it leaves free.

    So one organization gets three quarters of them at most. The last free one is for an organization that has none.
    """

    SHARE = 3

    def __init__(self, total: int) -> None:
        self.free = total
        self._taken: Counter[object] = Counter()

    def allowance(self, organization: object) -> int:
        """Return how many more places an organization may take now."""
        taken = self._taken[organization]
        free = self.free - 1 if taken or self.free > 1 else self.free
        return max(0, min(free, -(-(self.SHARE * self.free - taken) // (self.SHARE + 1))))

    def take(self, organization: object) -> None:
        """Take one place for an organization."""
        self.free -= 1
        self._taken[organization] += 1

    def give_back(self, organization: object) -> None:
        """Free one place of an organization."""
        self.free += 1
        self._taken[organization] -= 1
        if not self._taken[organization]:
            del self._taken[organization]


class EndpointQueue:
    """The waiting requests of one webhook, and how many are in flight.

    Replays wait in a queue of their own. While others are due, they get a quarter of the capacity, or every fourth
    request of a small one. They get all of it if no other was sent for a moment.
    """

    __slots__ = (
        "allowed_at",
        "concurrency",
        "halts",
        "has_live",
        "in_flight",
        "is_ready",
        "limit",
        "live_at",
        "live_since_replay",
        "replays",
        "replays_in_flight",
        "requests",
    )

    def __init__(self) -> None:
        self.requests: deque[OutgoingRequest] = deque()
        self.replays: deque[OutgoingRequest] = deque()
        self.replays_in_flight = 0
        # How many other requests were sent since the last replay, and when the last of them was sent.
        self.live_since_replay, self.live_at = 0, 0.0
        self.concurrency = 1
        self.in_flight = 0
        self.limit = AdaptiveLimit()
        self.is_ready = False
        # Whether the last claim found other deliveries than replays.
        self.has_live = False
        # How many results, not written yet, keep the rest from going out.
        self.halts = 0
        # When the rate limit of the webhook allows the next request.
        self.allowed_at = 0.0

    @property
    def held(self) -> int:
        """How many requests wait or are in flight, without the replays that wait."""
        return len(self.requests) + self.in_flight

    @property
    def most_in_flight(self) -> int:
        """How many requests may be in flight."""
        return min(self.concurrency, self.limit.limit)

    @property
    def may_send(self) -> bool:
        """Whether a request may go out now."""
        return self._has_request and not self.halts and self.in_flight < self.most_in_flight

    @property
    def _has_request(self) -> bool:
        return bool(self.requests) or (bool(self.replays) and self.replays_in_flight < self.most_replays)

    @property
    def most_replays(self) -> int:
        """How many replays may be in flight."""
        return self.most_in_flight if self.is_quiet else max(1, self.most_in_flight // (LIVE_PER_REPLAY + 1))

    @property
    def is_quiet(self) -> bool:
        """Whether no live request waits, and none was sent for a second."""
        return not self.requests and monotonic() - self.live_at > QUIET_SECONDS

    def take(self) -> OutgoingRequest:
        """Remove the next request and return it: a replay after three others, or if no other waits."""
        is_turn = not self.requests or self.live_since_replay >= LIVE_PER_REPLAY
        if is_turn and self.replays and self.replays_in_flight < self.most_replays:
            self.replays_in_flight += 1
            self.live_since_replay = 0
            return self.replays.popleft()
        self.live_since_replay += 1
        self.live_at = monotonic()
        return self.requests.popleft()

    def put_back(self, request: OutgoingRequest) -> None:
        """Undo `take`."""
        (self.replays if request.is_replay else self.requests).appendleft(request)
        self.replays_in_flight -= request.is_replay
        self.live_since_replay = LIVE_PER_REPLAY if request.is_replay else self.live_since_replay - 1

    def wanted_replays(self) -> tuple[int, int]:
        """Return how many more replays are worth holding, and how many of them although live deliveries are due."""
        most, held = self.most_replays, len(self.replays) + self.replays_in_flight
        limit = max(most, MAX_REPLAYS if self.is_quiet or self.requests or self.has_live else FEW_REPLAYS)
        wanted = max(0, min(most * (1 + self.rounds), limit) - held)
        # A small capacity has no quarter: replays get every fourth request of it.
        quarter = (self.most_in_flight + self.prefetch) // (LIVE_PER_REPLAY + 1)
        quarter = quarter or int(self.live_since_replay >= LIVE_PER_REPLAY)
        return wanted, min(wanted, max(0, quarter - held))

    @property
    def is_quick(self) -> bool:
        """Whether its receiver takes more in the next moment than may be in flight."""
        return self.prefetch > 0

    @property
    def prefetch(self) -> int:
        """How many requests are worth holding beyond those in flight: as many as the receiver takes in the next moment."""
        return self.most_in_flight * self.rounds

    @property
    def rounds(self) -> int:
        """How many requests the receiver takes one after the other in the next moment."""
        each = self.limit.seconds_each
        return 0 if each is None else min(MAX_PREFETCH, int(PREFETCH_SECONDS / max(each, 1e-6)))

    def worth_holding(self, share: int) -> int:
        """Return how many requests are worth holding, where each webhook has a ``share`` of the worker's places."""
        return self.most_in_flight + min(self.prefetch, max(0, share - self.most_in_flight))

    def is_short(self, share: int) -> bool:
        """Return whether a slot is free for which no request waits, or half of those worth holding are gone."""
        if self.replays and not self.requests and not self.has_live:
            # More of them are claimed when these are gone, and live deliveries by the regular polls.
            return False
        if not self._has_request and self.in_flight < self.most_in_flight:
            return True
        return 2 * (self.held + len(self.replays)) <= self.worth_holding(share)


class EndpointQueues:
    """Hands out the requests of a worker, rotating over organizations and their webhooks, within each one's limits.

    ``slots`` is how many may be in flight, ``places`` how many the worker may hold.
    """

    def __init__(self, *, slots: int, places: int) -> None:
        self._queues: dict[int, EndpointQueue] = {}
        self._slots, self._places = Shares(slots), Shares(places)
        self._most_places = self.free_places
        # The turns: organizations, and the webhooks of each, that have a request which may go out.
        self._turns: deque[object] = deque()
        self._ready: defaultdict[object, deque[int]] = defaultdict(deque)
        # Organizations that have to leave the free slots to others.
        self._over_share: list[object] = []
        # Webhooks for which more may be due than was claimed. Of these, those that have run short since the last claim,
        # and those that wait for their rate limit.
        self._hungry: set[int] = set()
        self._starved: set[int] = set()
        self._throttled: set[int] = set()
        self.held = self.in_flight = 0
        # Of those in flight, the requests of ordered webhooks, which get the next one when this one is done.
        self.ordered = 0

    @property
    def free_places(self) -> int:
        """How many more deliveries the worker may hold; a quarter of the places is left for organizations to come."""
        return -(-self._places.free * Shares.SHARE // (Shares.SHARE + 1))

    def allowance(self, organization: object) -> int:
        """Return how many more deliveries of an organization the worker may hold."""
        return self._places.allowance(organization)

    def wanted(self, webhook: Webhook, concurrency: int, _held: int) -> int:
        """Return how many more deliveries of a webhook are worth holding."""
        queue = self._queues.get(webhook.pk)
        if queue is None:
            return min(AdaptiveLimit.FIRST, concurrency)
        # Not 0: the claim may fail, and `claimed` is not called then.
        queue.concurrency = max(1, concurrency)
        return queue.worth_holding(self._share) - queue.held

    def wanted_replays(self, webhook: Webhook) -> tuple[int, int]:
        """Return how many more replays of a webhook are worth holding, and how many of them while live ones are due."""
        queue = self._queues.get(webhook.pk)
        return (AdaptiveLimit.FIRST, 0) if queue is None else queue.wanted_replays()

    @property
    def _share(self) -> int:
        """How many places each webhook has for which more is due."""
        return self._most_places // max(1, len(self._hungry))

    def hungry(self) -> Collection[int]:
        """Return the webhooks to claim for: those that have run short.

        While requests can be started without a claim, only those that hold none, until many have run short. A few large
        claims take less time than many small ones. If a quick one is among these, all that can take more.
        """
        now, queues = monotonic(), self._queues
        allowed = {key for key in self._throttled if queues[key].allowed_at <= now}
        if self.may_start and len(self._starved) < MANY:
            return allowed.union(key for key in self._starved if not queues[key].held)
        if any(queues[key].is_quick for key in self._starved):
            share = self._share
            allowed.update(key for key in self._hungry if queues[key].held < queues[key].worth_holding(share))
        return allowed | self._starved

    @property
    def may_start(self) -> bool:
        """Whether `next` may have a request."""
        return bool(self._turns and self._slots.free)

    def seconds_until_allowed(self) -> float | None:
        """Return the seconds until the first rate limit allows a request; None if no webhook waits for one."""
        moments = [self._queues[key].allowed_at for key in self._throttled]
        return max(0.0, min(moments) - monotonic()) if moments else None

    def claimed(
        self,
        requests: Iterable[OutgoingRequest],
        capacities: Mapping[int, Capacity],
        full: Collection[int],
        *,
        asked: Collection[int] = (),
    ) -> list[int]:
        """Add claimed requests, and note the limits of all webhooks that the claim looked at.

        ``asked`` are the webhooks that the claim was for: one that it did not find was deleted. Remove the waiting
        requests of webhooks whose slots are all used by other workers, and return the ids of their deliveries.
        """
        unsendable = []
        for group in (self._hungry, self._starved, self._throttled):
            group.difference_update(asked)
        for key, capacity in capacities.items():
            queue = self._queues.setdefault(key, EndpointQueue())
            queue.concurrency, queue.has_live = capacity.concurrency, False
            if not capacity.concurrency:
                unsendable += self.withdraw(key)
            for group in (self._hungry, self._starved, self._throttled):
                group.discard(key)
            if key in full and capacity.allowed_in:
                queue.allowed_at = monotonic() + capacity.allowed_in
                self._throttled.add(key)
            elif key in full:
                self._hungry.add(key)
        for request in requests:
            queue = self._queues.setdefault(request.webhook_id, EndpointQueue())
            (queue.replays if request.is_replay else queue.requests).append(request)
            queue.has_live = queue.has_live or not request.is_replay
            self.held += 1
            self._places.take(request.endpoint.organization_id)
            self._update_turn(request.endpoint.organization_id, request.webhook_id, queue)
        return unsendable

    def next(self) -> OutgoingRequest | None:
        """Return the next request to send, which is in flight then; None if no request may go out."""
        while self._turns and self._slots.free:
            organization = self._turns.popleft()
            if not self._slots.allowance(organization):
                self._over_share.append(organization)
                continue
            webhooks = self._ready[organization]
            webhook_id = webhooks.popleft()
            if webhooks:
                self._turns.append(organization)
            queue = self._queues[webhook_id]
            queue.is_ready = False
            if not queue.may_send:
                continue
            request = queue.take()
            queue.in_flight += 1
            queue.limit.started(queue.in_flight)
            self.in_flight += 1
            self.ordered += request.endpoint.ordered
            self._slots.take(organization)
            self._update_turn(organization, webhook_id, queue)
            return request
        return None

    def put_back(self, request: OutgoingRequest) -> None:
        """Put a request of `next` that was not started back: it is the first of its organization, which gets the next turn."""
        queue, organization = self._queues[request.webhook_id], request.endpoint.organization_id
        queue.put_back(request)
        queue.in_flight -= 1
        self.in_flight -= 1
        self.ordered -= request.endpoint.ordered
        self._slots.give_back(organization)
        webhooks = self._ready[organization]
        if queue.is_ready:
            webhooks.remove(request.webhook_id)
        queue.is_ready = True
        webhooks.appendleft(request.webhook_id)
        for waiting in (self._turns, self._over_share):
            if organization in waiting:
                waiting.remove(organization)
        self._turns.appendleft(organization)

    def answered(self, result: SendResult, seconds: float) -> None:
        """Note that a request came back, and how long its receiver took."""
        request, outcome = result.request, result.outcome
        queue, organization = self._queues[request.webhook_id], request.endpoint.organization_id
        queue.limit.answered(
            seconds,
            is_success=outcome.success,
            is_overloaded=outcome.timed_out or result.status == 429 or (result.status or 0) >= 500,
            ceiling=queue.concurrency,
            in_flight=queue.in_flight,
        )
        queue.in_flight -= 1
        queue.replays_in_flight -= request.is_replay
        self.in_flight -= 1
        self.ordered -= request.endpoint.ordered
        self.held -= 1
        self._slots.give_back(organization)
        self._places.give_back(organization)
        self._turns.extend(self._over_share)
        self._over_share.clear()
        self._update_turn(organization, request.webhook_id, queue)
        self._update_starved(request.webhook_id, queue)

    def halt(self, webhook_id: int) -> None:
        """Keep the waiting requests of a webhook from going out until `resume`.

        After a failure the webhook may be paused or disabled, which is only known once the result is written.
        """
        self._queues[webhook_id].halts += 1

    def resume(self, request: OutgoingRequest) -> None:
        """Undo one `halt` of the request's webhook."""
        queue = self._queues[request.webhook_id]
        queue.halts -= 1
        self._update_turn(request.endpoint.organization_id, request.webhook_id, queue)

    def written(self, webhook_ids: Iterable[int]) -> None:
        """Note that results of these webhooks were written: a delivery that waited for one of them may be due now."""
        for webhook_id in webhook_ids:
            self._update_starved(webhook_id, self._queues[webhook_id])

    def withdraw(self, webhook_id: int | None = None) -> list[int]:
        """Remove the waiting requests of one webhook, or of all, and return the ids of their deliveries."""
        keys = self._queues if webhook_id is None else {webhook_id}
        ids = []
        for queue in [self._queues[key] for key in keys if key in self._queues]:
            for request in (*queue.requests, *queue.replays):
                ids.append(request.delivery_id)
                self._places.give_back(request.endpoint.organization_id)
            queue.requests.clear()
            queue.replays.clear()
        self.held -= len(ids)
        return ids

    def _update_turn(self, organization: object, webhook_id: int, queue: EndpointQueue) -> None:
        """Give a webhook a turn, if a request of it may go out now."""
        if queue.may_send and not queue.is_ready:
            queue.is_ready = True
            webhooks = self._ready[organization]
            if not webhooks:
                self._turns.append(organization)
            webhooks.append(webhook_id)

    def _update_starved(self, webhook_id: int, queue: EndpointQueue) -> None:
        """Note a webhook for the next claim, if more may be due, and it has a free slot or half of its queue is gone."""
        if webhook_id in self._hungry and queue.is_short(self._share):
            self._starved.add(webhook_id)
