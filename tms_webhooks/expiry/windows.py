"""Windows of days before a date: compute the dates in reach of a scan, and whether a date was in a window.

Pure functions: the times are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

Range = tuple[datetime, datetime]
"""Two times, both excluded."""


def reach(window: tuple[float, float], *, since: datetime, now: datetime) -> Range:
    """Return the range of dates that a scan at ``now`` has to read, after the last scan at ``since``.

    ``window`` is (more than, less than) in days. A date ``e`` is in the window at the time ``t`` if
    ``more < e - t < less``. The range holds each date that was in the window at any time since the last scan, so that
    a missed scan loses nothing. Dates before ``now`` are left out: they have expired, which is another event.

    >>> day = timedelta(days=1)
    >>> start = datetime(2026, 1, 1)
    >>> low, high = reach((2, 7), since=start, now=start)
    >>> (low - start) / day, (high - start) / day
    (2.0, 7.0)
    """
    more, less = (timedelta(days=days) for days in window)
    return max(since + more, now), now + less


def was_inside(expires_at: datetime, window: tuple[float, float], *, since: datetime, now: datetime) -> bool:
    """Return whether a date was in the window at any time from ``since`` to ``now``."""
    low, high = reach(window, since=since, now=now)
    return low < expires_at < high


def is_late(
    expires_at: datetime, window: tuple[float, float], *, since: datetime, now: datetime, tolerance: timedelta
) -> bool:
    """Return whether a scan at ``now`` is late for a date that `was_inside` found.

    It is if the date has left the window, or entered it longer ago than ``tolerance`` with no scan since then.
    """
    more, less = (timedelta(days=days) for days in window)
    return expires_at - now <= more or now - max(since, expires_at - less) > tolerance


def union(ranges: Iterable[Range]) -> list[Range]:
    """Return the union as sorted ranges that don't overlap, without empty ones.

    Both ends are excluded, so two ranges that only touch are not merged.
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
