"""The limits of a webhook: how many requests at a time, and how many a second. Pure: rows and answers in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tms_webhooks.conf import app_settings
from tms_webhooks.models import Webhook

# Seconds that the clocks of two machines may differ. A time further ahead was written before a clock was set back.
MAX_CLOCK_SKEW = 5.0
# A rate allows as many requests at a time as in this many seconds, and at least one.
BURST_SECONDS = 0.05
# A rate is kept a little below its number: otherwise requests that leave a moment too early would exceed it.
RATE_MARGIN = 0.98

# While live deliveries are due, a webhook gets so many of them for each replay.
LIVE_PER_REPLAY = 3

# The columns of a webhook that its limits are computed from, together with its state.
LIMIT_COLUMNS = (
    "enabled",
    "pull_only",
    "deleted_at",
    "max_in_flight",
    "ordered",
    "rate_limit_per_second",
)


@dataclass(frozen=True, slots=True)
class InFlight:
    """Deliveries of one webhook under a live lease: of this worker, of other workers; ``replays`` are among the latter."""

    mine: int = 0
    others: int = 0
    replays: int = 0


@dataclass(frozen=True, slots=True)
class Capacity:
    """The limits of one webhook for one worker.

    Attributes:
        concurrency: How many requests the worker may send at a time.
        free: How many more deliveries it may claim.
        free_replays: How many of these may be replays.
        reserved_replays: How many of these replays it may claim although live deliveries are due.
        allowed_in: Seconds until the webhook's rate limit allows a request after the free ones; 0 if it does so now.
    """

    concurrency: int
    free: int
    free_replays: int
    allowed_in: float = 0.0
    reserved_replays: int = 0


# How many more deliveries of a webhook a worker wants to claim, given its concurrency and how many it holds.
Wanted = Callable[[Webhook, int, int], int]
# How many more replays of a webhook a worker wants to claim, and how many of them although live deliveries are due.
WantedReplays = Callable[[Webhook], tuple[int, int]]


def capacity_of(
    webhook: Webhook,
    now: datetime,
    *,
    in_flight: InFlight,
    wanted: Wanted,
    wanted_replays: WantedReplays = lambda _webhook: (1, 0),
) -> Capacity:
    """Return the capacity that one worker has for a webhook. One worker at a time has some for replays."""
    concurrency = max(0, slots_of(webhook) - in_flight.others)
    free = wanted(webhook, concurrency, in_flight.mine)
    # What one worker prefetched would take the slots of the others.
    if webhook.state.failures or webhook.ordered or in_flight.others:
        free = min(free, concurrency - in_flight.mine)
    allowed = allowed_requests(webhook, now)
    if allowed is not None:
        free = min(free, int(allowed))
    free = max(0, free)
    replays, reserved_replays = (0, 0) if in_flight.replays else wanted_replays(webhook)
    return Capacity(
        concurrency=concurrency,
        free=free,
        free_replays=min(free, replays),
        reserved_replays=min(free, reserved_replays),
        allowed_in=seconds_until_allowed(webhook, now, after=free),
    )


def slots_of(webhook: Webhook) -> int:
    """Return how many requests of a webhook may be in flight, of all workers and test sends together.

    The setting MAX_IN_FLIGHT is the ceiling; a webhook may have a lower one. A webhook gets one request at a time when
    it is ordered, and after a pause, to probe the receiver.
    """
    if webhook.ordered or webhook.state.failures >= app_settings.PAUSE_AFTER_FAILURES:
        return 1
    return min(webhook.max_in_flight or app_settings.MAX_IN_FLIGHT, app_settings.MAX_IN_FLIGHT)


def all_of_it(_webhook: Webhook, concurrency: int, mine: int) -> int:
    """Return how many more deliveries may be sent at the same time."""
    return concurrency - mine


def none_of_it(_webhook: Webhook, _concurrency: int, _mine: int) -> int:
    """Return that no delivery is wanted."""
    return 0


def allowed_requests(webhook: Webhook, now: datetime) -> float | None:
    """Return how many requests the webhook's rate limit allows now, or None where it has no limit.

    In any second no more than the rate are allowed. Two clocks that differ change the number by no more than the burst.
    After a clock was set back the count begins again; otherwise nothing would be sent until the clock has caught up.
    """
    rate = _rate(webhook)
    if rate is None:
        return None
    burst, refill = _burst_and_refill(rate)
    state = webhook.state
    if state.tokens_at is None:
        return burst
    seconds = (now - state.tokens_at).total_seconds()
    return burst if seconds < -MAX_CLOCK_SKEW else min(burst, state.tokens + refill * max(0.0, seconds))


def seconds_until_allowed(webhook: Webhook, now: datetime, *, after: int = 0) -> float:
    """Return in how many seconds the webhook's rate limit allows a request, after this many now; 0 if it does so now."""
    rate, allowed = _rate(webhook), allowed_requests(webhook, now)
    if rate is None or allowed is None or allowed - after >= 1.0:
        return 0.0
    return (1.0 - allowed + after) / _burst_and_refill(rate)[1]


def _rate(webhook: Webhook) -> float | None:
    rate = webhook.rate_limit_per_second
    # A host may write an invalid rate past the forms: it must not stop the other webhooks.
    return rate if rate is not None and math.isfinite(rate) and rate > 0 else None


def _burst_and_refill(rate: float) -> tuple[float, float]:
    """Return the number of requests that may be sent at the same time, and the number a second that is added. In no
    second it is more than the rate."""
    burst = max(1.0, rate * BURST_SECONDS)
    return burst, RATE_MARGIN * (rate - (burst - 1.0))


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
        self.seconds_each: float | None = None
        """The mean seconds of an answer in the last round; None before."""
        self._usual: float | None = None
        self._rounds = 0
        # Of this round: the answers, their seconds, and whether the limit was reached.
        self._answers, self._seconds, self._was_full = 0, 0.0, False
        # How many requests are in flight that began under a higher limit: their answers say nothing about this one.
        self._outdated = 0

    def started(self, in_flight: int) -> None:
        """Note that a request was started. ``in_flight`` includes it."""
        self._was_full = self._was_full or in_flight >= self.limit

    def answered(self, seconds: float, *, is_success: bool, is_overloaded: bool, ceiling: int, in_flight: int) -> None:
        """Note one answer of the requests in flight, itself included. The limit does not grow above ``ceiling``."""
        if self._outdated:
            self._outdated -= 1
            return
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
        elif may_grow and mean <= self.SLOWER * self._usual + self.NOISE:
            self.limit += 1
            self._rounds = 0
        elif not may_grow:
            self._rounds = 0

    def _halve(self, in_flight: int) -> None:
        self.limit = max(1, self.limit // 2)
        self._usual, self._rounds, self._outdated = None, 0, in_flight - 1
        self._begin_round()

    def _begin_round(self) -> None:
        self._answers, self._seconds, self._was_full = 0, 0.0, False
