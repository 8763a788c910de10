"""The limits of a webhook: how many requests at once, and how many a second. Pure: rows in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tms_webhooks.conf import app_settings
from tms_webhooks.models import Webhook

# How many deliveries of a webhook a worker holds at most, given its key and how many the worker may send at once.
Prefetch = Callable[[int, int], int]

# Seconds that the clocks of two machines may differ. A time further ahead was written before a clock was set back.
MAX_CLOCK_SKEW = 5.0

# The columns that the limits are computed from.
LIMIT_COLUMNS = (
    "enabled",
    "deleted_at",
    "paused_until",
    "max_in_flight",
    "ordered",
    "failures",
    "rate_limit_per_second",
    "tokens",
    "tokens_at",
)


@dataclass(frozen=True, slots=True)
class InFlight:
    """Deliveries of one webhook under a live lease: of this worker, of other workers; ``replays`` are those of both."""

    mine: int = 0
    others: int = 0
    replays: int = 0


@dataclass(frozen=True, slots=True)
class Capacity:
    """The limits of one webhook for one worker.

    Attributes:
        concurrency: How many requests the worker may send at once.
        free: How many more deliveries it may claim.
        free_replays: How many of these may be replays.
    """

    concurrency: int
    free: int
    free_replays: int


def capacity_of(webhook: Webhook, now: datetime, *, in_flight: InFlight, prefetch: Prefetch) -> Capacity:
    """Return the capacity that one worker has for a webhook.

    A webhook gets one request at a time when it is ordered, and after a pause, to probe the receiver. An ordered or
    failing webhook gets no prefetch.
    """
    probing = webhook.failures >= app_settings.PAUSE_AFTER
    allowed_at_once = 1 if probing or webhook.ordered else webhook.max_in_flight or app_settings.MAX_IN_FLIGHT
    concurrency = max(0, allowed_at_once - in_flight.others)
    if concurrency == 0:
        return Capacity(concurrency=0, free=0, free_replays=0)
    most = concurrency if webhook.failures or webhook.ordered else prefetch(webhook.pk, concurrency)
    free = most - in_flight.mine
    allowed = allowed_requests(webhook, now)
    if allowed is not None:
        free = min(free, int(allowed))
    return Capacity(concurrency=concurrency, free=free, free_replays=min(free, max(0, 1 - in_flight.replays)))


def allowed_requests(webhook: Webhook, now: datetime) -> float | None:
    """Return how many requests the webhook's rate limit allows now, or None where it has no limit.

    At most those of one second, and at least one. Two clocks that differ change the number by no more than that. After
    a clock was set back the count begins anew; otherwise nothing would be sent until the clock has caught up.
    """
    rate = webhook.rate_limit_per_second
    # A host may write an invalid rate past the forms: it must not stop the other webhooks.
    if rate is None or not math.isfinite(rate) or rate <= 0:
        return None
    most = max(1.0, rate)
    if webhook.tokens_at is None:
        return most
    seconds = (now - webhook.tokens_at).total_seconds()
    return most if seconds < -MAX_CLOCK_SKEW else min(most, webhook.tokens + rate * max(0.0, seconds))


def seconds_until_allowed(webhook: Webhook, now: datetime) -> float:
    """Return for how many seconds the webhook's rate limit allows no request; 0 where it allows one now."""
    allowed = allowed_requests(webhook, now)
    if allowed is None or allowed >= 1.0 or webhook.rate_limit_per_second is None:
        return 0.0
    return (1.0 - allowed) / webhook.rate_limit_per_second
