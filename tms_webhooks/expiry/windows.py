"""When something is inside a days window. Pure: times in, an answer out."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

Range = tuple[datetime, datetime]

# A hundred years. What is further away than that is as good as never, and Python's calendar ends.
LONGEST = 36_500.0


def reach(window: tuple[float, float], *, since: datetime, now: datetime) -> Range:
    """Return between which two moments, both excluded, that falls which a scan at ``now`` has to look at.

    ``window`` is (more than, less than) in days. Something that expires at ``e`` is inside the window at the moment
    ``t`` if ``more < e - t < less``. A scan tells of all that was inside at any moment since the last one, at
    ``since``, so that a run that was missed is made up; what has expired by now is another event's business.

    >>> day = timedelta(days=1)
    >>> start = datetime(2026, 1, 1)
    >>> low, high = reach((2, 7), since=start, now=start)
    >>> (low - start) / day, (high - start) / day
    (2.0, 7.0)
    """
    more, less = (_span(days) for days in window)
    return max(since + more, now), now + less


def was_inside(
    expires_at: datetime, window: tuple[float, float], *, since: datetime, now: datetime, created_at: datetime | None
) -> bool:
    """Return whether it was inside the window at any moment from ``since`` to ``now`` at which it existed."""
    start = since if created_at is None else min(max(since, created_at), now)
    low, high = reach(window, since=start, now=now)
    return low < expires_at < high


def union(ranges: Iterable[Range]) -> list[Range]:
    """Return the same moments as few ranges that don't overlap, in order; empty ranges are left out.

    Both ends are excluded, so two ranges that only touch stay two.
    """
    merged: list[Range] = []
    for low, high in sorted(ranges):
        if low >= high:
            continue
        if merged and low < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return merged


def days_left(expires_at: datetime, *, now: datetime) -> float:
    """Return the days until then, with fractions to about a second."""
    return round((expires_at - now) / timedelta(days=1), 5)


def _span(days: float) -> timedelta:
    # The comparison is false for NaN, too, which is no number of days at all.
    return timedelta(days=days if days < LONGEST else LONGEST)
