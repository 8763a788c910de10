"""Write times, days and statuses as events do, and read and replace values of nested objects."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.db.models import IntegerChoices

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


@lru_cache(maxsize=None, typed=True)
def status_name(member: IntegerChoices) -> str:
    """Return the name of a status in payloads: "No Show" for ``NO_SHOW``.

    It is made from the member's name, not from its label, because labels are translated and payloads are not.
    """
    return member.name.replace("_", " ").title()


def status_value(member: IntegerChoices) -> dict[str, Any]:
    """Return a status as an object of a payload: ``{"code": 20, "name": "Waitlist"}``."""
    return {"code": int(member.value), "name": status_name(member)}


def value_at(nested: Any, name: str, missing: Any = None) -> Any:
    """Return the value at a dotted name, or ``missing`` if no object has that name."""
    for segment in name.split("."):
        if not isinstance(nested, Mapping) or segment not in nested:
            return missing
        nested = nested[segment]
    return nested


def has_value(nested: Any, name: str) -> bool:
    """Return whether a nested object has a value, possibly null, at a dotted name."""
    return value_at(nested, name, _MISSING) is not _MISSING


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by dotted names as nested objects."""
    whole: dict[str, Any] = {}
    for name, value in values.items():
        *parents, leaf = name.split(".")
        target = whole
        for parent in parents:
            target = target.setdefault(parent, {})
        target[leaf] = value
    return whole
