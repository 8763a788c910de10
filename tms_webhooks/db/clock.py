"""The database's time, by which all workers work: it decides when a delivery is due, a lease is over and a pause ends.

The clocks of two machines may differ by minutes. By its own clock a worker would take the leases of the other one's
deliveries for expired, and send them twice. So each process measures the difference of its clock at intervals. From
each measurement on, it counts by a clock that is never set.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from tms_webhooks.db.sql import database

MEASURE_EVERY = 30.0
"""Seconds between two measurements. A database whose clock is set is followed after this time."""

# Seconds since 1970 by the database's clock, whatever the time zone of the session is.
CLOCKS = {
    "postgresql": "SELECT EXTRACT(EPOCH FROM clock_timestamp())",
    "mysql": "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1000000",
}

# Seconds by a clock that is never set; on Linux one that continues while the machine sleeps.
ticks = partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic


class Measurement(NamedTuple):
    """The database's time, in seconds since 1970, at a reading of `ticks`."""

    seconds: float
    at: float


# The last measurement of this process; None before the first one, and on SQLite, which has this machine's time.
_last: Measurement | None = None


def now() -> datetime:
    """Return the database's time by the last measurement, without a query; this machine's time without a measurement."""
    last = _last
    return timezone.now() if last is None else datetime.fromtimestamp(last.seconds + ticks() - last.at, UTC)


def on_this_machine(moment: datetime) -> datetime:
    """Return a time of the database by this machine's clock, for what compares with that."""
    return moment if _last is None else timezone.now() + (moment - now())


def measured_now() -> datetime:
    """Return the database's time. May run one query, which raises the database's errors."""
    keep_up()
    return now()


def keep_up() -> None:
    """Measure if the last measurement is older than `MEASURE_EVERY`. Raises the database's errors."""
    global _last
    if _last is None or ticks() - _last.at >= MEASURE_EVERY:
        connection = database()
        _last = measure(connection) if connection.vendor in CLOCKS else None


def measure(connection: BaseDatabaseWrapper) -> Measurement:
    """Ask a database that is not SQLite for its time. The answer counts for the middle of the round trip."""
    with connection.cursor() as cursor:
        before = ticks()
        cursor.execute(CLOCKS[connection.vendor])
        seconds = float(cursor.fetchone()[0])
    return Measurement(seconds, (before + ticks()) / 2)
