"""What a webhook's retry schedule may be, and what is said about one that can't be."""

import math

import pytest
from django.core.exceptions import ValidationError

from tms_webhooks import validators

LIMITS = "is not a number of seconds from 0 to 604800. Correct it or remove it."


@pytest.mark.parametrize(
    "value",
    [
        # Left empty: the standard one.
        None,
        "",
        "standard",
        "skillable",
        "none",
        # An empty list: no retries.
        [],
        [0],
        [1, 2.5, 604_800],
        (1, 2),
        [60] * 15,
        # Not in order is a choice.
        [60, 1, 60],
    ],
)
def test_a_schedule_passes(value):
    validators.validate_schedule(value)


@pytest.mark.parametrize(
    "value, code, message",
    [
        (
            "hourly",
            "unknown_schedule",
            "Retry schedule: unknown name 'hourly'. "
            "Choose one of standard, skillable, none, or list delays in seconds.",
        ),
        (
            "Standard",
            "unknown_schedule",
            "Retry schedule: unknown name 'Standard'. "
            "Choose one of standard, skillable, none, or list delays in seconds.",
        ),
        (
            "x" * 1_000,
            "unknown_schedule",
            f"Retry schedule: unknown name '{'x' * 38}…. "
            "Choose one of standard, skillable, none, or list delays in seconds.",
        ),
        (
            5,
            "schedule_type",
            "Retry schedule: 5 is neither a name nor a list. Choose one of standard, skillable, none, or list delays.",
        ),
        (
            {},
            "schedule_type",
            "Retry schedule: {} is neither a name nor a list. Choose one of standard, skillable, none, or list delays.",
        ),
        (
            False,
            "schedule_type",
            "Retry schedule: false is neither a name nor a list. Choose one of standard, skillable, none, or list delays.",
        ),
        (
            [60] * 16,
            "too_many_delays",
            "Retry schedule: 16 delays are too many. List at most 15.",
        ),
    ],
)
def test_an_ill_formed_schedule_is_refused_with_the_remedy(value, code, message):
    with pytest.raises(ValidationError) as caught:
        validators.validate_schedule(value)
    assert caught.value.code == code
    assert caught.value.messages == [message]


@pytest.mark.parametrize(
    "delay, shown",
    [
        (-1, "-1"),
        (-0.001, "-0.001"),
        (604_801, "604801"),
        (604_800.5, "604800.5"),
        (math.inf, "inf"),
        (math.nan, "nan"),
        (10**400, "1" + "0" * 38 + "…"),
        # More digits than Python writes out.
        pytest.param(10**5_000, "a number of thousands of digits", id="endless"),
        # Numbers for a lenient parser only.
        (True, "true"),
        ("60", "'60'"),
        (None, "null"),
        ([60], "[60]"),
        ({"a": 1}, '{"a": 1}'),
    ],
)
def test_a_bad_delay_is_named_by_its_place_and_value(delay, shown):
    with pytest.raises(ValidationError) as caught:
        validators.validate_schedule([60, delay])
    assert [error.code for error in caught.value.error_list] == ["delay"]
    assert caught.value.messages == [f"Retry schedule, delay 2: {shown} {LIMITS}"]


def test_every_bad_delay_is_reported_at_once():
    with pytest.raises(ValidationError) as caught:
        validators.validate_schedule([-1, 5, "6"])
    assert caught.value.messages == [f"Retry schedule, delay 1: -1 {LIMITS}", f"Retry schedule, delay 3: '6' {LIMITS}"]
