"""What a webhook takes at a moment: how many requests at once, and how many a second. Rows in, numbers out."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tms_webhooks.conf import app_settings
from tms_webhooks.models import Webhook

# How many deliveries of a webhook a worker holds at most, given how many it may send at once.
Prefetch = Callable[[int, int], int]

CLOCKS_DIFFER = 5.0
"""Seconds that the clocks of two machines may be apart. What lies further ahead was written before a clock was set back."""

LIMITING = (
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
"""The columns that limits are read from."""


@dataclass(frozen=True, slots=True)
class InFlight:
    """What is under a live lease for one webhook: held by this worker, by others, and how much of both is replayed."""

    mine: int = 0
    others: int = 0
    replays: int = 0


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a worker may do for one webhook: send ``cap`` at once, and take ``free`` more, ``replays`` of them old."""

    cap: int
    free: int
    replays: int


def capacity_of(webhook: Webhook, now: datetime, *, in_flight: InFlight, prefetch: Prefetch) -> Capacity:
    """Return the place that one worker has for a webhook.

    A webhook that comes out of a pause gets one request, to see how it is; so does one that is ordered. Of one that is
    ordered or fails no more is held than is sent at once.
    """
    probing = webhook.failures >= app_settings.PAUSE_AFTER
    at_once = 1 if probing or webhook.ordered else webhook.max_in_flight or app_settings.MAX_IN_FLIGHT
    cap = max(0, at_once - in_flight.others)
    if cap == 0:
        return Capacity(cap=0, free=0, replays=0)
    free = (cap if webhook.failures or webhook.ordered else prefetch(webhook.pk, cap)) - in_flight.mine
    allowed = tokens_of(webhook, now)
    if allowed is not None:
        free = min(free, int(allowed))
    return Capacity(cap=cap, free=free, replays=min(free, max(0, 1 - in_flight.replays)))


def tokens_of(webhook: Webhook, now: datetime) -> float | None:
    """Return how many requests the webhook's rate allows now, or None where it has no rate.

    A second's worth at most, and at least one at a time. Two clocks that differ lose or win no more than that; one that
    was set back has the count begin anew, or nothing would be sent until it has caught up.
    """
    rate = webhook.rate_limit_per_second
    # What no form lets in, a write past the forms may: such a rate must not stop the others.
    if rate is None or not math.isfinite(rate) or rate <= 0:
        return None
    most = max(1.0, rate)
    if webhook.tokens_at is None:
        return most
    seconds = (now - webhook.tokens_at).total_seconds()
    return most if seconds < -CLOCKS_DIFFER else min(most, webhook.tokens + rate * max(0.0, seconds))


def wait_for_token(webhook: Webhook, now: datetime) -> float:
    """Return for how many seconds the webhook's rate allows no request; 0 where one may go out now."""
    tokens = tokens_of(webhook, now)
    if tokens is None or tokens >= 1.0 or webhook.rate_limit_per_second is None:
        return 0.0
    return (1.0 - tokens) / webhook.rate_limit_per_second
