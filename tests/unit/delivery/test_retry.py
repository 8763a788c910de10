"""When a failed delivery is tried again, whether that costs an attempt, and when it is given up."""

import math

import pytest

from tms_webhooks.choices import DelayReason
from tms_webhooks.conf import AppSettings
from tms_webhooks.delivery import retry
from tms_webhooks.delivery.retry import RetryDecision

DAY = 86_400.0
STANDARD = vars(AppSettings)["RETRY_DELAYS_SECONDS"].default
FACTS = {
    "attempts": 1,
    "schedule": STANDARD,
    "max_retries": None,
    "age": 0.0,
    "lifetime": 7 * DAY,
    "retry_after": None,
    "timed_out": False,
    "jitter": 0.2,
    "random": lambda: 0.5,  # the middle: the schedule's own delay
}


def scheduled(delay):
    return RetryDecision(delay, DelayReason.SCHEDULE, charged=True)


def penalty(delay):
    return RetryDecision(delay, DelayReason.TIMEOUT_PENALTY, charged=True)


def deferred(delay):
    return RetryDecision(delay, DelayReason.RETRY_AFTER, charged=False)


def lowest():
    return 0.0


def highest():
    return math.nextafter(1.0, 0.0)


@pytest.mark.parametrize(
    "facts, expected",
    [
        # --- The standard schedule, step by step ---
        ({"attempts": 1}, scheduled(5.0)),
        ({"attempts": 2}, scheduled(60.0)),
        ({"attempts": 3}, scheduled(300.0)),
        ({"attempts": 4}, scheduled(1_800.0)),
        ({"attempts": 5}, scheduled(7_200.0)),
        ({"attempts": 6}, scheduled(18_000.0)),
        ({"attempts": 7}, scheduled(36_000.0)),
        ({"attempts": 8}, scheduled(50_400.0)),
        ({"attempts": 9}, scheduled(72_000.0)),
        ({"attempts": 10}, scheduled(86_400.0)),
        # The eleventh attempt was the last.
        ({"attempts": 11}, None),
        # A number that no loop of ours makes doesn't run off the schedule.
        ({"attempts": 10**30}, None),
        # --- max_retries: total calls = 1 + max_retries ---
        # None wanted.
        ({"attempts": 1, "max_retries": 0}, None),
        # Three wanted: the third is still made, the fourth is not.
        ({"attempts": 3, "max_retries": 3}, scheduled(300.0)),
        ({"attempts": 4, "max_retries": 3}, None),
        # More wanted than the schedule has: the schedule ends it.
        ({"attempts": 2, "schedule": (1, 2), "max_retries": 10}, scheduled(2.0)),
        ({"attempts": 3, "schedule": (1, 2), "max_retries": 10}, None),
        # Nonsense from an old row means none.
        ({"attempts": 1, "max_retries": -1}, None),
        # --- Other schedules ---
        ({"attempts": 5, "schedule": (1, 2, 3, 4, 5)}, scheduled(5.0)),
        ({"attempts": 6, "schedule": (1, 2, 3, 4, 5)}, None),
        ({"attempts": 1, "schedule": ()}, None),
        # An explicit list may say "at once".
        ({"attempts": 1, "schedule": (0,)}, scheduled(0.0)),
        # --- Jitter: 20 % either way ---
        ({"attempts": 2, "random": lowest}, scheduled(48.0)),
        ({"attempts": 2, "random": lambda: 0.25}, scheduled(54.0)),
        ({"attempts": 2, "random": lambda: 0.75}, scheduled(66.0)),
        # No jitter: whatever the dice say.
        ({"attempts": 2, "random": lowest, "jitter": 0.0}, scheduled(60.0)),
        # A share over 1 never makes a delay negative.
        ({"attempts": 2, "random": lowest, "jitter": 1.5}, scheduled(0.0)),
        # --- After a timeout at least 60 s ---
        # The first step is shorter; the penalty is stretched only, so that no one is disturbed before 60 s.
        ({"attempts": 1, "timed_out": True, "random": lowest}, penalty(60.0)),
        ({"attempts": 1, "timed_out": True}, penalty(66.0)),
        # A step of 60 s whose jitter would take it below.
        ({"attempts": 2, "timed_out": True, "random": lowest}, penalty(60.0)),
        # The same step with luck is the schedule's own.
        ({"attempts": 2, "timed_out": True, "random": lambda: 0.75}, scheduled(66.0)),
        # Later steps are longer anyway.
        ({"attempts": 3, "timed_out": True}, scheduled(300.0)),
        # A timeout still costs an attempt and the last one is the last.
        ({"attempts": 11, "timed_out": True}, None),
        # --- Retry-After: not charged, stretched only ---
        ({"attempts": 1, "retry_after": 120.0, "random": lowest}, deferred(120.0)),
        ({"attempts": 1, "retry_after": 120.0}, deferred(132.0)),
        # Earlier than the schedule: the schedule, without the jitter that would shorten it.
        ({"attempts": 3, "retry_after": 10.0, "random": lowest}, deferred(300.0)),
        ({"attempts": 3, "retry_after": 0.0, "random": lowest}, deferred(300.0)),
        # Never later than 24 h, however much is asked for, and jitter doesn't go past it either.
        ({"attempts": 1, "retry_after": 1e9}, deferred(DAY)),
        ({"attempts": 1, "retry_after": DAY, "random": highest}, deferred(DAY)),
        ({"attempts": 1, "retry_after": 80_000.0, "random": highest}, deferred(DAY)),
        ({"attempts": 1, "retry_after": math.inf}, deferred(DAY)),
        # A whole number that no float can hold.
        ({"attempts": 1, "retry_after": 10**400}, deferred(DAY)),
        # The last step is the limit itself.
        ({"attempts": 10, "retry_after": 5.0, "random": highest}, deferred(DAY)),
        # A schedule that waits longer than the limit is not hurried: the limit is for what receivers ask.
        ({"attempts": 1, "schedule": (2 * DAY,), "retry_after": 5.0, "random": highest}, deferred(2 * DAY)),
        # The last attempt may be deferred like any other, since it is not charged; the last step is the floor.
        ({"attempts": 11, "retry_after": 120.0, "random": lowest}, deferred(86_400.0)),
        ({"attempts": 4, "max_retries": 3, "retry_after": 120.0, "random": lowest}, deferred(300.0)),
        ({"attempts": 10**30, "retry_after": 120.0, "random": lowest}, deferred(86_400.0)),
        # No retries at all: only the receiver's word, and never in a spin.
        ({"attempts": 1, "max_retries": 0, "retry_after": 120.0, "random": lowest}, deferred(120.0)),
        ({"attempts": 1, "schedule": (), "retry_after": 0.0, "random": lowest}, deferred(1.0)),
        ({"attempts": 1, "schedule": (0,), "retry_after": 0.0, "random": lowest}, deferred(1.0)),
        # Not numbers of seconds: as if nothing had been asked.
        ({"attempts": 1, "retry_after": -1.0}, scheduled(5.0)),
        ({"attempts": 1, "retry_after": math.nan}, scheduled(5.0)),
        ({"attempts": 11, "retry_after": math.nan}, None),
        # Both at once can't happen; if it does, both are honored.
        ({"attempts": 1, "retry_after": 10.0, "timed_out": True, "random": lowest}, deferred(60.0)),
        # --- The lifetime ---
        # Exactly at its end is still within.
        ({"attempts": 2, "age": 7 * DAY - 60.0}, scheduled(60.0)),
        # A moment past it is not.
        ({"attempts": 2, "age": 7 * DAY - 59.0}, None),
        # Jitter decides at the border: by the time that would really be.
        ({"attempts": 2, "age": 7 * DAY - 59.0, "random": lowest}, scheduled(48.0)),
        # A deferral past it is none.
        ({"attempts": 1, "age": 6.5 * DAY, "retry_after": DAY}, None),
        # Long over.
        ({"attempts": 1, "age": 30 * DAY}, None),
        ({"attempts": 1, "age": math.inf}, None),
        # A clock that was set back.
        ({"attempts": 1, "age": -10.0}, scheduled(5.0)),
    ],
)
def test_the_decision_follows_from_the_facts(facts, expected):
    assert retry.decide(**{**FACTS, **facts}) == expected


def test_the_standard_schedule_is_eleven_attempts_over_75_6_hours():
    attempts, age = 1, 0.0
    while (decision := retry.decide(**{**FACTS, "attempts": attempts, "age": age})) is not None:
        age += decision.delay
        attempts += 1
    assert attempts == 11
    # 272 165 s: the document's 75.6 h.
    assert age == 272_165.0
    assert round(age / 3_600, 1) == 75.6


def test_a_receiver_that_always_defers_is_given_up_when_the_lifetime_ends():
    age, deferrals = 0.0, 0
    while (decision := retry.decide(**{**FACTS, "attempts": 1, "age": age, "retry_after": 3_600.0})) is not None:
        assert not decision.charged
        age += decision.delay
        deferrals += 1
    assert deferrals == 152  # of 3600 s * 1.1 in 7 days
    assert 7 * DAY - 3_960.0 < age <= 7 * DAY


@pytest.mark.parametrize(
    "schedule, expected",
    [
        # Left empty, in each way that a form or a column leaves it.
        (None, STANDARD),
        ("", STANDARD),
        ("standard", STANDARD),
        ("skillable", (1.0, 2.0, 3.0, 4.0, 5.0)),
        ("none", ()),
        # An empty list is a list: no retries.
        ([], ()),
        ([5, 0.5], (5.0, 0.5)),
        ((1, 2), (1.0, 2.0)),
        (list(range(15)), tuple(float(delay) for delay in range(15))),
    ],
)
def test_a_schedule_is_a_name_or_a_list(schedule, expected):
    delays = retry.schedule_for(schedule, standard=STANDARD)
    assert delays == expected
    assert all(type(delay) is float for delay in delays)


@pytest.mark.parametrize("drawn, delay", [(0.0, 30.0), (0.5, 33.0)])
def test_a_failure_of_the_proxy_is_not_charged(drawn, delay):
    decision = retry.wait_for_operator(
        30.0, reason=DelayReason.PROXY, age=0.0, lifetime=DAY, jitter=0.2, random=lambda: drawn
    )

    assert decision == RetryDecision(delay, DelayReason.PROXY, charged=False)


def test_no_delivery_waits_for_the_proxy_beyond_its_lifetime():
    assert (
        retry.wait_for_operator(
            30.0, reason=DelayReason.PROXY, age=DAY - 29.0, lifetime=DAY, jitter=0.0, random=lambda: 0.5
        )
        is None
    )
