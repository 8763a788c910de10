"""Dates that bring an event by passing, or by coming near."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from django.db.models import IntegerChoices


@dataclass(frozen=True, slots=True)
class Deadline:
    """A date field of a noun, and the events that time makes of it.

    ``expiring`` is told to each subscription whose days window the object enters, ``expired`` once when the date has
    passed, or when what was closed then is open again. An extension makes it another deadline: both may be told again.
    Without a name, that one is told nobody.
    """

    field: str
    expiring: str
    expired: str = ""


@dataclass(frozen=True, slots=True)
class ClosedWhen:
    """What makes an object's deadline matter no more: one of these moments is there, or one of these statuses."""

    moments: tuple[str, ...] = ()
    statuses: tuple[tuple[str, IntegerChoices], ...] = ()

    def is_open(self, values: Mapping[str, Any]) -> bool:
        """Return whether an object's deadline still matters, by its canonical values."""
        dated = any(values.get(name) is not None for name in self.moments)
        return not dated and all(values.get(name) != member for name, member in self.statuses)


def as_moment(value: Any) -> Any:
    """Return a day without a time as the moment at which it begins in UTC, as the payload has it; all else as it is."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, time(), tzinfo=UTC)
    return value


def expired_key(event_type: str, subject_id: str, expires_at: datetime) -> str:
    """Return the key by which "this expired then" is told once, whether a scan or a change finds it first.

    ``subject_id`` is the object's key as `subject_key` writes it.
    """
    return f"{event_type}:{subject_id}:{_second(expires_at)}"


def expiring_key(
    event_type: str, subscription_id: int, window: tuple[float, float], subject_id: str, expires_at: datetime
) -> str:
    """Return the key by which one subscription is told once that this comes near.

    The days are part of it: a subscription whose window is changed has another window, and is told of that one.
    """
    more, less = window
    return f"{event_type}:{subscription_id}:{more}:{less}:{subject_id}:{_second(expires_at)}"


def _second(moment: datetime) -> int:
    return int(moment.timestamp())
