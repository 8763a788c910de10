"""How many days are left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tms_webhooks.expiry.windows import days_left

NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (timedelta(days=27, hours=12), 27.5),
        (timedelta(seconds=1), 0.00001),
        (timedelta(), 0.0),
        (timedelta(days=-1), -1.0),
        (timedelta(days=10, seconds=100), 10.00116),
    ],
)
def test_days_have_fractions_to_about_a_second(left, expected):
    assert days_left(NOW + left, now=NOW) == expected


def test_days_are_spans_of_24_hours_whatever_the_time_zone_says():
    berlin = datetime.fromisoformat("2026-03-30T00:00:00+02:00")

    assert days_left(berlin, now=datetime.fromisoformat("2026-03-29T00:00:00+01:00")) == round(23 / 24, 5)
