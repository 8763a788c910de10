"""The rate limit of a webhook as a bucket of tokens, which workers keep in the webhook's state."""

from __future__ import annotations

import math
from datetime import datetime

from tms_webhooks.models.webhook import Webhook

# Seconds that the clocks of two machines may differ. A time further ahead was written before a clock was set back.
MAX_CLOCK_SKEW = 5.0
# A rate allows as many requests at a time as in this many seconds, and at least one.
BURST_SECONDS = 0.05
# A rate is kept a little below its number: otherwise requests that leave a moment too early would exceed it.
RATE_MARGIN = 0.98


class RateLimit:
    """How many requests of one webhook may be started, by its rate limit; counted in tokens.

    In any second no more than the rate are allowed. After a clock was set back the count begins again; otherwise
    nothing would be sent until the clock has caught up.
    """

    __slots__ = ("_burst", "_refill", "tokens", "tokens_at")

    def __init__(self, rate: float, tokens: float, tokens_at: datetime | None) -> None:
        # How many requests at a time, and how many a second are added. In no second it is more than the rate.
        self._burst = max(1.0, rate * BURST_SECONDS)
        self._refill = RATE_MARGIN * (rate - (self._burst - 1.0))
        self.tokens, self.tokens_at = tokens, tokens_at

    @classmethod
    def of(cls, webhook: Webhook) -> RateLimit | None:
        """Return the rate limit of a webhook as its last owner left it.

        None without a limit, or where a host wrote an invalid one past the forms.
        """
        rate = webhook.rate_limit_per_second
        if rate is None or not (math.isfinite(rate) and rate > 0):
            return None
        return cls(rate, webhook.state.tokens, webhook.state.tokens_at)

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
