"""The limits of a webhook: how many requests at a time, and how many a second. Pure: rows and answers in, numbers out."""

from __future__ import annotations

import math
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


def slots_of(webhook: Webhook) -> int:
    """Return how many requests of a webhook may be in flight.

    The setting MAX_IN_FLIGHT is the ceiling; a webhook may have a lower one. A webhook gets one request at a time when
    it is ordered, and after a pause, to probe the receiver.
    """
    if webhook.ordered or webhook.state.failures >= app_settings.PAUSE_AFTER_FAILURES:
        return 1
    return min(webhook.max_in_flight or app_settings.MAX_IN_FLIGHT, app_settings.MAX_IN_FLIGHT)


class RateLimit:
    """How many requests of one webhook may be started, by its rate limit; counted in tokens.

    In any second no more than the rate are allowed. After a clock was set back the count begins again; otherwise
    nothing would be sent until the clock has caught up.
    """

    __slots__ = ("_burst", "_refill", "rate", "tokens", "tokens_at")

    def __init__(self, rate: float, tokens: float, tokens_at: datetime | None) -> None:
        self.set_rate(rate)
        self.tokens, self.tokens_at = tokens, tokens_at

    @classmethod
    def of(cls, webhook: Webhook) -> RateLimit | None:
        """Return the rate limit of a webhook as its last owner left it; None without a limit."""
        rate = rate_of(webhook)
        return None if rate is None else cls(rate, webhook.state.tokens, webhook.state.tokens_at)

    def set_rate(self, rate: float) -> None:
        """Change the rate: how many requests at a time, and how many a second are added. In no second it is more."""
        self.rate = rate
        self._burst = max(1.0, rate * BURST_SECONDS)
        self._refill = RATE_MARGIN * (rate - (self._burst - 1.0))

    def allowed(self, now: datetime) -> float:
        """Return how many requests may be started now."""
        if self.tokens_at is None:
            return self._burst
        seconds = (now - self.tokens_at).total_seconds()
        if seconds < -MAX_CLOCK_SKEW:
            return self._burst
        return min(self._burst, self.tokens + self._refill * max(0.0, seconds))

    def take(self, now: datetime) -> None:
        """Count one request that is started now."""
        self.tokens, self.tokens_at = self.allowed(now) - 1.0, now

    def seconds_until_allowed(self, now: datetime) -> float:
        """Return in how many seconds the next request may be started; 0 if it may now."""
        return max(0.0, (1.0 - self.allowed(now)) / self._refill)


def rate_of(webhook: Webhook) -> float | None:
    """Return the rate limit of a webhook; None without one, or where a host wrote an invalid one past the forms."""
    rate = webhook.rate_limit_per_second
    return rate if rate is not None and math.isfinite(rate) and rate > 0 else None


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
