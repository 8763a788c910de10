"""When something is inside a days window. Pure: times in, an answer out."""

from __future__ import annotations

from datetime import datetime, timedelta


def reach(window: tuple[float, float], *, since: datetime, now: datetime) -> tuple[datetime, datetime]:
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
    more, less = (timedelta(days=days) for days in window)
    return max(since + more, now), now + less


def was_inside(
    expires_at: datetime, window: tuple[float, float], *, since: datetime, now: datetime, created_at: datetime | None
) -> bool:
    """Return whether it was inside the window at any moment from ``since`` to ``now`` at which it existed."""
    start = since if created_at is None else min(max(since, created_at), now)
    low, high = reach(window, since=start, now=now)
    return low < expires_at < high


def days_left(expires_at: datetime, *, now: datetime) -> float:
    """Return the days until then, with fractions to about a second."""
    return round((expires_at - now) / timedelta(days=1), 5)
