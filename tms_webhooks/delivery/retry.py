"""The retry schedule: decide whether and when a delivery is tried again.

Pure functions. The time, the random number and the settings are arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tms_webhooks import validators
from tms_webhooks.choices import DelayReason

SCHEDULES: Mapping[str, tuple[float, ...] | None] = {
    "standard": None,  # the setting RETRY_DELAYS_SECONDS, which the caller passes in
    "skillable": (1.0, 2.0, 3.0, 4.0, 5.0),
    "none": (),
}
"""Named schedules: the delays in seconds before the first retry, the second and so on."""

SHORTEST_DEFERRAL = 1.0
"""Seconds. ``Retry-After: 0`` is not charged; without this minimum, a worker would repeat the request in a loop for days."""

RATE_LIMITED = 120.0
"""Seconds after a success in which a 429 defers: the receiver limits its rate, mostly by the minute, and is not out of order."""

TIMEOUT_PENALTY = 60.0
"""Seconds: the shortest delay after an attempt that timed out."""

RETRY_AFTER_LIMIT = 86_400.0
"""Seconds: the longest ``Retry-After`` that is obeyed."""

UNCHARGED_DELAY = 60.0
"""Seconds after an attempt that is not charged, of a webhook without retries."""


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """The next attempt of a delivery.

    Attributes:
        delay: Seconds from now until it is due.
        reason: What set the delay.
        charged: Whether the attempt just made counts toward the maximum number of retries.
    """

    delay: float
    reason: DelayReason
    charged: bool


def schedule_for(schedule: str | Sequence[float] | None, *, standard: Sequence[float]) -> tuple[float, ...]:
    """Return the delays in seconds of a schedule, which is a name or a list of delays; an empty one is ``"standard"``.

    ``standard`` is the setting ``RETRY_DELAYS_SECONDS``. Raise `django.core.exceptions.ValidationError` for an unknown name
    or an ill-formed list.
    """
    validators.validate_schedule(schedule)
    if schedule is None or schedule == "":
        schedule = "standard"
    delays = SCHEDULES[schedule] if isinstance(schedule, str) else schedule
    return tuple(float(delay) for delay in (standard if delays is None else delays))


def decide(
    *,
    attempts: int,
    is_charged: bool = True,
    schedule: Sequence[float],
    max_retries: int | None,
    age: float,
    lifetime: float,
    retry_after: float | None,
    timed_out: bool,
    jitter: float,
    random: Callable[[], float],
) -> RetryDecision | None:
    """Return when a delivery is tried again after a failed attempt; ``None`` if it is exhausted.

    Args:
        attempts: Charged attempts so far, this one included.
        is_charged: Whether this attempt is charged. After one that is not, the delay is that of the attempt before it, and
            a retry follows in any case.
        schedule: Delays in seconds before the first retry, the second and so on.
        max_retries: Maximum number of retries; ``None`` for as many as the schedule has.
        age: Seconds since the delivery was created.
        lifetime: Seconds after which a delivery is given up.
        retry_after: Seconds that the receiver asked for with a 429 or 503; ``None`` if it did not.
        timed_out: Whether the attempt ran out of time.
        jitter: The share by which a delay varies: 0.2 for ±20 %.
        random: Returns a number from 0 up to 1; called once. `random.random`, except in tests.

    The delay by reason, with ``step = schedule[attempts - 1]``, ``u = random()`` and ``stretch = 1 + jitter * u``:

    - ``schedule``: ``step * (1 + jitter * (2u - 1))``.
    - ``timeout_penalty``, where a timeout's delay would be shorter: ``TIMEOUT_PENALTY * stretch``.
    - ``retry_after``: ``max(step, min(retry_after, RETRY_AFTER_LIMIT)) * stretch``. It exceeds the limit only if the
      schedule does. This jitter only adds, so the attempt is never earlier than the schedule or the receiver asks.

    A ``retry_after`` decision is not charged, not even after the last retry (the last step is then the minimum delay).
    A receiver can thus defer a delivery any number of times within its lifetime. A retry that would come after the
    lifetime is not made. `hold_seconds` says for how long the webhook's other deliveries wait.
    """
    retries = len(schedule) if max_retries is None else min(len(schedule), max_retries)
    # NaN and negative numbers fail this comparison and are ignored.
    asked = retry_after if retry_after is not None and retry_after >= 0 else None
    if asked is None and is_charged and attempts > retries:
        return None

    without_retries = 0.0 if is_charged else UNCHARGED_DELAY
    step = schedule[max(min(attempts, retries), 1) - 1] if retries > 0 else without_retries
    least = TIMEOUT_PENALTY if timed_out else 0.0
    drawn = random()
    if asked is None:
        decision = _scheduled(step=step, least=least, jitter=jitter, drawn=drawn, charged=is_charged)
    else:
        floor = max(step, least, SHORTEST_DEFERRAL)
        delay = max(floor, min(asked, RETRY_AFTER_LIMIT)) * (1.0 + jitter * drawn)
        decision = RetryDecision(min(delay, max(floor, RETRY_AFTER_LIMIT)), DelayReason.RETRY_AFTER, charged=False)
    return decision if age + decision.delay <= lifetime else None


def wait_for_operator(
    seconds: float, *, reason: DelayReason, age: float, lifetime: float, jitter: float, random: Callable[[], float]
) -> RetryDecision | None:
    """Return when a delivery is tried again after a failure of the operator's machines: it is not charged.

    The jitter only adds. ``None`` if that would be after the lifetime.
    """
    delay = seconds * (1.0 + jitter * random())
    return RetryDecision(delay, reason, charged=False) if age + delay <= lifetime else None


def hold_seconds(retry_after: float) -> float:
    """Return for how many seconds a webhook is held whose receiver asked for ``retry_after`` seconds."""
    return min(max(retry_after, SHORTEST_DEFERRAL), RETRY_AFTER_LIMIT)


def _scheduled(*, step: float, least: float, jitter: float, drawn: float, charged: bool) -> RetryDecision:
    delay = max(0.0, step * (1.0 + jitter * (2.0 * drawn - 1.0)))
    if delay < least:
        return RetryDecision(least * (1.0 + jitter * drawn), DelayReason.TIMEOUT_PENALTY, charged=charged)
    return RetryDecision(delay, DelayReason.SCHEDULE, charged=charged)
