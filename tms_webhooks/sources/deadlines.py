"""Deadlines: date fields that cause events by coming near and by passing, without any change of the object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any

from django.db.models import IntegerChoices


@dataclass(frozen=True, slots=True)
class Deadline:
    """A date field of a noun, and the event types that it causes as time goes by.

    - ``field``: the canonical name of the date
    - ``expiring``: emitted once per subscription when the object enters the subscription's window of days
    - ``expired``: emitted once when the date has passed, or when a closed object is reopened after it

    Moving the date makes it another deadline: both events may be emitted again. An empty name turns that event off.
    """

    field: str
    expiring: str
    expired: str = ""


@dataclass(frozen=True, slots=True)
class ClosedWhen:
    """When an object's deadline no longer matters: one of the ``filled`` fields has a value, or one of ``statuses`` holds.

    ``statuses`` are pairs of a canonical status field and a status.
    """

    filled: tuple[str, ...] = ()
    statuses: tuple[tuple[str, IntegerChoices], ...] = ()

    def is_open(self, values: Mapping[str, Any]) -> bool:
        """Return whether the deadline of an object with these canonical values still matters."""
        is_filled = any(values.get(name) is not None for name in self.filled)
        return not is_filled and all(values.get(name) != member for name, member in self.statuses)


def as_moment(value: Any) -> Any:
    """Return a date without a time as midnight UTC, as payloads write it; return any other value unchanged."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime.combine(value, time(), tzinfo=UTC)
    return value


def expired_key(event_type: str, subject_id: str, expires_at: datetime) -> str:
    """Return the key that makes an "expired" event unique, whether a scan or a change detects it first.

    ``subject_id`` is the object's key as `subject_key` writes it.
    """
    return f"{event_type}:{subject_id}:{_second(expires_at)}"


def expiring_key(
    event_type: str, subscription_id: int, window: tuple[float, float], subject_id: str, expires_at: datetime
) -> str:
    """Return the key that makes an "expiring" event unique for one subscription.

    The window's days are part of it: a subscription whose window is edited gets an event for the new window, too.
    """
    more, less = window
    return f"{event_type}:{subscription_id}:{more}:{less}:{subject_id}:{_second(expires_at)}"


def _second(moment: datetime) -> int:
    return int(moment.timestamp())
