"""Workers use the database's clock, whatever their own says."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.db import connection

from tests.integration.delivery.rows import subscribed, write_delivery
from tests.integration.delivery.wire import Wire
from tests.patience import PATIENCE
from tms_webhooks.db import clock
from tms_webhooks.net.transports.client import ThreadTransport
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.worker.drain import Drain

keep_up = clock.keep_up

HOUR = timedelta(hours=1)
NOON = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


class Ticks:
    """A clock that is never set, moved by the test."""

    def __init__(self):
        self.seconds = 1_000.0

    def __call__(self):
        return self.seconds


class Database:
    """A database whose clock reads ``now``, and whose answer takes ``seconds``."""

    vendor = "postgresql"

    def __init__(self, ticks, *, now=NOON, seconds=0.0):
        self.ticks, self.now, self.seconds = ticks, now, seconds
        self.asked = 0

    def cursor(self):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def execute(self, sql):
        self.asked += 1
        self.ticks.seconds += self.seconds

    def fetchone(self):
        return (self.now.timestamp(),)


@pytest.fixture
def ticks(monkeypatch):
    ticks = Ticks()
    monkeypatch.setattr(clock, "ticks", ticks)
    monkeypatch.setattr(clock, "_last", None)
    monkeypatch.setattr(clock, "keep_up", keep_up)
    return ticks


@pytest.fixture
def database(monkeypatch, ticks):
    database = Database(ticks)
    monkeypatch.setattr(clock, "database", lambda: database)
    return database


def test_the_time_goes_on_from_the_last_measurement_without_a_query(database, ticks):
    assert clock.measured_now() == NOON
    ticks.seconds += 12.5

    assert clock.now() == NOON + timedelta(seconds=12.5)
    assert database.asked == 1


def test_the_answer_counts_for_the_middle_of_the_round_trip(database, ticks):
    database.seconds = 4.0

    assert clock.measured_now() == NOON + timedelta(seconds=2)


@pytest.mark.parametrize("seconds, asked", [(29.9, 1), (30.0, 2)])
def test_the_database_is_asked_again_after_half_a_minute(database, ticks, seconds, asked):
    clock.keep_up()
    database.now = NOON + HOUR
    ticks.seconds += seconds

    assert clock.measured_now() == (NOON + HOUR if asked == 2 else NOON + timedelta(seconds=seconds))
    assert database.asked == asked


def test_this_database_says_its_time(ticks):
    """Whatever the time zone of its session is."""
    if connection.vendor == "postgresql":
        connection.cursor().execute("SET LOCAL TIME ZONE 'Asia/Kathmandu'")
    if connection.vendor == "mysql":
        connection.cursor().execute("SET time_zone = '+05:45'")
    try:
        assert abs(clock.measured_now() - datetime.now(UTC)) < timedelta(seconds=1)
    finally:
        if connection.vendor == "mysql":
            connection.cursor().execute("SET time_zone = @@global.time_zone")
    assert (clock._last is None) is (connection.vendor == "sqlite")


def test_a_drain_goes_by_the_time_of_the_database(ticks, monkeypatch):
    """Two hours behind the database, it sends what is due by the database's clock, and signs with that time."""
    theirs = datetime.now(UTC) + 2 * HOUR
    monkeypatch.setattr(clock, "CLOCKS", {**clock.CLOCKS, connection.vendor: "SELECT 1"})
    monkeypatch.setattr(clock, "measure", lambda connection: SimpleNamespace(seconds=theirs.timestamp(), at=1_000.0))
    delivery = write_delivery(subscribed(), now=theirs - HOUR)
    wire = Wire()

    Drain(fan_out=fan_out, transport=ThreadTransport(wire)).run(until_idle=True, seconds=PATIENCE)

    assert [int(request.headers["webhook-timestamp"]) for request in wire.requests] == [int(theirs.timestamp())]
    delivery.refresh_from_db()
    assert abs(delivery.finished_at - theirs) < timedelta(seconds=1)
