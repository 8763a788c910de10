"""Write times as events do, and read values at dotted paths."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def instant(value: datetime) -> str:
    """Return a datetime as ISO 8601 in UTC with milliseconds; a naive datetime is read as UTC.

    All results have the same length, so they sort like the datetimes.
    """
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
