"""Deadlines: date fields that cause events by coming near and by passing, without any change of the object."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import IntegerChoices
from django.utils import timezone
from tzlocal.windows_tz import win_tz

from tms_webhooks.computed import as_path, follow_value_or_none
from tms_webhooks.conf import app_settings

DAY = timedelta(days=1)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A date field of a noun, and the event types that it causes as time goes by.

    - ``field``: the canonical name of the date
    - ``expiring``: emitted once per subscription when the object enters the subscription's window of days
    - ``expired``: emitted once when the date has passed, or when a closed object is reopened after it

    Moving the date by a day or more makes it another deadline: both events may be emitted again. None turns the
    second one off.
    """

    field: str
    expiring: str
    expired: str | None = None


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


@dataclass(frozen=True, slots=True)
class DueDate:
    """The date of one object: its moment, and the time zone of its organization, which makes it a calendar date."""

    at: datetime
    zone: tzinfo

    @property
    def day(self) -> date:
        """The calendar date in the organization's time zone."""
        return self.at.astimezone(self.zone).date()

    def is_same_as(self, other: datetime) -> bool:
        """Return whether a change from ``other`` to this date leaves the deadline the same: by less than a day.

        Both are compared as the organization's clocks show them, so that one day is also a day where the clocks change.
        """
        return abs(self._local(self.at) - self._local(other)) < DAY

    def _local(self, moment: datetime) -> datetime:
        return moment.astimezone(self.zone).replace(tzinfo=None)


def as_moment(value: Any) -> Any:
    """Return a date without a time as midnight UTC, as payloads write it; return any other value unchanged."""
    if is_day(value):
        return datetime.combine(value, time(), tzinfo=UTC)
    return value


def end_of_day(day: date, zone: tzinfo) -> datetime:
    """Return the last microsecond of a day in a time zone, in UTC."""
    # Where clocks are put back before midnight, the second of two equal times is the end.
    return datetime.combine(day, time.max, tzinfo=zone).replace(fold=1).astimezone(UTC)


def is_day(value: Any) -> bool:
    """Return whether ``value`` is a date without a time."""
    return isinstance(value, date) and not isinstance(value, datetime)


def time_zone(value: Any) -> tzinfo:
    """Return the time zone of an organization: of an IANA or Windows name, or of a ``tzinfo``.

    An empty value means the project's ``TIME_ZONE``. So does an unknown name, which is logged once: a typing error in
    one row must not stop the events of the others.
    """
    if isinstance(value, tzinfo):
        return value
    return (_named_zone(str(value)) if value else None) or timezone.get_default_timezone()


def zone_of(organization: Any) -> tzinfo | None:
    """Return the time zone of an organization, by ``ORGANIZATION_FIELDS``; None if the host names none, or this one has none."""
    path = as_path(app_settings.ORGANIZATION_FIELDS.get("time_zone"))
    value = follow_value_or_none(organization, path) if path else None
    return time_zone(value) if value else None


@lru_cache(maxsize=1000)
def _named_zone(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(win_tz.get(name, name))
    except (OSError, ValueError, LookupError):
        # ZoneInfo raises any of these, depending on what the name looks like as a file name.
        logger.error(
            "The time zone %r is unknown; the end of a day is taken in TIME_ZONE. Use a name such as Europe/Berlin or "
            "Central Standard Time.",
            name,
        )
        return None
