"""THE retry schedule: when a delivery is tried again, and whether it is at all.

Pure: facts in, a small value out. The clock, the dice and the settings come in as arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tms_webhooks import validators
from tms_webhooks.choices import DelayReason

SCHEDULES: Mapping[str, tuple[float, ...] | None] = {
    "standard": None,  # the setting RETRY_DELAYS, which the caller passes in
    "skillable": (1.0, 2.0, 3.0, 4.0, 5.0),
    "none": (),
}
"""The schedules that have a name: delays in seconds before the first retry, the second and so on."""

SHORTEST_DEFERRAL = 1.0
"""Seconds. ``Retry-After: 0`` is free of charge, so without a floor it would spin a worker for days."""


@dataclass(frozen=True, slots=True)
class RetryDecision:
    """The next attempt of a delivery.

    Attributes:
        delay: Seconds from now until it is due.
        reason: What set the delay.
        charged: Whether the attempt just made counts against the webhook's retries.
    """

    delay: float
    reason: DelayReason
    charged: bool


def schedule_for(schedule: str | Sequence[float] | None, *, standard: Sequence[float]) -> tuple[float, ...]:
    """Return the delays, in seconds, of a named schedule or a list of delays; of the standard one if it is left empty.

    ``standard`` is the setting ``RETRY_DELAYS``. Raise `django.core.exceptions.ValidationError` for an unknown name
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
    schedule: Sequence[float],
    max_retries: int | None,
    age: float,
    lifetime: float,
    retry_after: float | None,
    timed_out: bool,
    jitter: float,
    random: Callable[[], float],
    timeout_penalty: float,
    retry_after_limit: float,
) -> RetryDecision | None:
    """Decide when a delivery whose attempt just failed is tried again; ``None`` means it is exhausted.

    Args:
        attempts: Charged attempts so far, this one included; at least 1.
        schedule: Delays in seconds: the first before the first retry, and so on.
        max_retries: The most retries to make; ``None`` for as many as the schedule has.
        age: Seconds since the delivery was made.
        lifetime: Seconds after which a delivery is given up.
        retry_after: Seconds that the receiver asked for with a 429 or 503; ``None`` if it did not.
        timed_out: Whether the attempt ran out of time.
        jitter: The share by which a delay is varied: 0.2 for ±20 %.
        random: Returns a number from 0 up to 1, drawn once: `random.random`.
        timeout_penalty: The shortest delay in seconds after a timeout.
        retry_after_limit: The longest ``retry_after`` in seconds that is honored.

    With ``step = schedule[attempts - 1]``, ``u`` the number drawn and ``stretch = 1 + jitter * u``:

    - ``schedule``: ``step * (1 + jitter * (2u - 1))``.
    - ``timeout_penalty``, where a timeout's delay would be shorter: ``timeout_penalty * stretch``.
    - ``retry_after``: ``max(step, min(retry_after, retry_after_limit)) * stretch``, but never over the limit unless
      the schedule itself waits longer. Never earlier than the schedule or the receiver said: this jitter only adds.

    A ``retry_after`` decision is not charged, not even on the last attempt (the last step is then its floor). A
    receiver may thus defer any number of times; what ends such a run is the lifetime: a decision whose time would
    lie past it is ``None``. An answer that defers counts for the webhook's health all the same, so that a run of
    them slows down to the pace of the webhook's pause.
    """
    retries = len(schedule) if max_retries is None else min(len(schedule), max_retries)
    # NaN and negative numbers fail this comparison, and are as good as no answer.
    asked = retry_after if retry_after is not None and retry_after >= 0 else None
    if asked is None and attempts > retries:
        return None

    step = schedule[min(attempts, retries) - 1] if retries > 0 else 0.0
    least = timeout_penalty if timed_out else 0.0
    dice = random()
    if asked is None:
        decision = _scheduled(step=step, least=least, jitter=jitter, dice=dice)
    else:
        floor = max(step, least, SHORTEST_DEFERRAL)
        delay = max(floor, min(asked, retry_after_limit)) * (1.0 + jitter * dice)
        decision = RetryDecision(min(delay, max(floor, retry_after_limit)), DelayReason.RETRY_AFTER, charged=False)
    return decision if age + decision.delay <= lifetime else None


def _scheduled(*, step: float, least: float, jitter: float, dice: float) -> RetryDecision:
    delay = max(0.0, step * (1.0 + jitter * (2.0 * dice - 1.0)))
    if delay < least:
        return RetryDecision(least * (1.0 + jitter * dice), DelayReason.TIMEOUT_PENALTY, charged=True)
    return RetryDecision(delay, DelayReason.SCHEDULE, charged=True)
