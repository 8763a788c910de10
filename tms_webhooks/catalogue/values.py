"""How an event writes a moment, and where in it a value stands."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any


def instant(value: datetime) -> str:
    """Return a moment as ISO 8601 in UTC with milliseconds; a naive one is taken as UTC.

    All are of one length, so that they sort as the moments do.
    """
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def value_at(nested: Any, name: str) -> Any:
    """Return the value at a dotted name; null where there is none."""
    for segment in name.split("."):
        if not isinstance(nested, Mapping):
            return None
        nested = nested.get(segment)
    return nested
