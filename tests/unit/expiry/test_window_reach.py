"""Which moments a scan looks at, and what was inside a days window since the last one."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import NOW
from tms_webhooks.expiry import windows

DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)


def inside(left, window=(2.0, 7.0), *, gap=timedelta(), age=None):
    """Ask for something with so much time left now, so old, when the last scan was a gap ago."""
    since = NOW - (gap if age is None else min(gap, age))
    return windows.was_inside(NOW + left, window, since=since, now=NOW)


days = st.floats(min_value=0, max_value=400, allow_nan=False)
ordered = st.tuples(days, days).map(sorted).map(tuple)
spans = st.timedeltas(min_value=timedelta(), max_value=400 * DAY)


@given(window=ordered, left=spans, gap=spans)
def test_inside_now_means_more_than_the_one_and_less_than_the_other(window, left, gap):
    more, less = (timedelta(days=number) for number in window)

    assert inside(left, window) is (more < left < less)
    if more < left < less:
        assert inside(left, window, gap=gap)


@given(window=ordered, left=spans, gap=spans, age=st.none() | spans, step=st.integers(0, 20))
def test_a_date_in_the_window_at_any_moment_of_the_gap_is_found(window, left, gap, age, step):
    more, less = (timedelta(days=number) for number in window)
    ago = gap * step / 20
    existed = age is None or age >= ago

    if existed and left > timedelta() and more < left + ago < less:
        assert inside(left, window, gap=gap, age=age)


@given(window=ordered, left=spans, gap=spans, age=st.none() | spans)
def test_a_date_that_is_found_was_in_the_window_at_some_moment_of_the_gap(window, left, gap, age):
    more, less = (timedelta(days=number) for number in window)

    if inside(left, window, gap=gap, age=age):
        longest = left + (gap if age is None else min(gap, age))
        assert left > timedelta()
        # It had from `left` to `longest` days left; the window and that stretch overlap.
        assert more < longest
        assert left < less


@given(window=ordered, left=spans, gap=spans, age=st.none() | spans)
def test_nothing_is_found_that_the_scan_does_not_look_at(window, left, gap, age):
    low, high = windows.reach(window, since=NOW - gap, now=NOW)

    if inside(left, window, gap=gap, age=age):
        assert low < NOW + left < high


@given(window=ordered, left=spans, first=spans, second=spans)
def test_two_scans_find_together_the_same_as_one(window, left, first, second):
    """A run that is missed loses nothing, as long as it has not expired by then."""
    expires_at = NOW + left
    middle = NOW - second
    start = middle - first

    def found(since, now):
        return windows.was_inside(expires_at, window, since=since, now=now)

    assert (found(start, middle) or found(middle, NOW)) is found(start, NOW)
