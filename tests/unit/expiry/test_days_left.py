"""How many days are left: never more than there are."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import NOW
from tms_webhooks.catalogue.values import days_left

INSTANT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    "left, expected",
    [
        (timedelta(days=27, hours=12), 27.5),
        (timedelta(days=7), 7),
        (timedelta(days=7) - INSTANT, 6.99999),
        (timedelta(days=7) - timedelta(seconds=1), 6.99998),
        (timedelta(days=6, hours=12) + INSTANT, 6.5),
        (timedelta(seconds=1), 0.00001),
        (timedelta(seconds=0.5), 0.0),
        (timedelta(), 0.0),
        (timedelta(days=-1), -1.0),
        (timedelta(days=10, seconds=100), 10.00115),
    ],
)
def test_days_have_fractions_to_about_a_second_rounded_down(left, expected):
    assert days_left(NOW + left, now=NOW) == expected


@given(left=st.timedeltas(min_value=timedelta(), max_value=timedelta(days=36_500)))
def test_no_more_days_are_named_than_are_left(left):
    named = timedelta(days=days_left(NOW + left, now=NOW))

    assert left - timedelta(seconds=1) < named <= left
