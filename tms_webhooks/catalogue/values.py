"""Write times and days as events do, and read and replace values of nested objects."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

_MISSING = object()
STEPS_A_DAY = 100_000
STEP = timedelta(days=1) / STEPS_A_DAY


def instant(value: datetime) -> str:
    """Return a datetime as ISO 8601 in UTC with milliseconds; a naive datetime is read as UTC.

    All results have the same length, so they sort like the datetimes.
    """
    return in_utc(value).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def in_utc(value: datetime) -> datetime:
    """Return a datetime in UTC; a naive datetime is read as UTC."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def days_left(expires_at: datetime, *, now: datetime) -> float:
    """Return the days from ``now`` to the date, in steps of 0.00001 (about a second), never more than are left."""
    return (expires_at - now) // STEP / STEPS_A_DAY


def value_at(nested: Any, name: str, missing: Any = None) -> Any:
    """Return the value at a dotted name, or ``missing`` if no object has that name."""
    for segment in name.split("."):
        if not isinstance(nested, Mapping):
            return missing
        found = nested.get(segment)
        if found is None and segment not in nested:
            return missing
        nested = found
    return nested


def has_value(nested: Any, name: str) -> bool:
    """Return whether a nested object has a value, possibly null, at a dotted name."""
    return value_at(nested, name, _MISSING) is not _MISSING
