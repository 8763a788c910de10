"""Reading the rows of many windows once."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tms_webhooks.expiry import windows

START = datetime(2026, 11, 24, tzinfo=UTC)


def at(day):
    return START + timedelta(days=day)


def union(*ranges):
    merged = windows.union((at(low), at(high)) for low, high in ranges)
    return [((low - START) / timedelta(days=1), (high - START) / timedelta(days=1)) for low, high in merged]


days = st.integers(0, 40)


@given(ranges=st.lists(st.tuples(days, days), max_size=8), half_day=st.integers(0, 80))
def test_a_moment_is_in_the_union_if_it_is_in_one_of_the_ranges(ranges, half_day):
    moment = half_day / 2

    assert any(low < moment < high for low, high in union(*ranges)) is any(low < moment < high for low, high in ranges)


@given(ranges=st.lists(st.tuples(days, days), max_size=8))
def test_the_union_is_in_order_and_does_not_overlap(ranges):
    merged = union(*ranges)

    assert all(low < high for low, high in merged)
    assert all(first[1] <= second[0] for first, second in zip(merged, merged[1:], strict=False))
