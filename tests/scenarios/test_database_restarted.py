"""The database is away for a moment, again and again, while a drain works."""

import json
import time

import pytest
from django.db import connection, transaction

from tests.patience import PATIENCE
from tests.receiver import Answer
from tests.scenarios.outcome import assert_all_delivered_once, came, fill, outcome, wait_until_all
from tests.scenarios.postgres import server_of_its_own
from tests.scenarios.processes import Processes, lease_of, settings_for, stop

pytestmark = pytest.mark.slow

EVENTS = 40
IN_FLIGHT = 4
"""What two webhooks take at once."""
CUTS = (5, 20, 35, 50, 65)
# No lease runs out meanwhile: the drain lives, so nothing is sent a second time.
LONG = {**lease_of(60.0), "worker.leases.RENEWED_EVERY": 0.3}
BUSY_TIMEOUT = 0.2


def cut(tables):
    """Take the database from everybody else: end their connections, or hold the lock for longer than they wait."""
    if tables.connection.vendor == "sqlite":
        with transaction.atomic(using=tables.using):
            time.sleep(4 * BUSY_TIMEOUT)
        return
    others = {"postgresql": cut_postgresql, "mysql": cut_mysql}[tables.connection.vendor]
    with tables.connection.cursor() as cursor:
        # It may be about to connect anew, after the cut before.
        tables.wait_until(lambda: others(cursor) > 0)


def cut_postgresql(cursor):
    others = "datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    cursor.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")
    return len(cursor.fetchall())


def cut_mysql(cursor):
    others = "db = DATABASE() AND id <> CONNECTION_ID()"
    cursor.execute(f"SELECT id FROM information_schema.processlist WHERE {others}")
    ids = [row[0] for row in cursor.fetchall()]
    for key in ids:
        cursor.execute("KILL %s", [key])
    return len(ids)


def assert_each_came_once(receiver):
    assert set(came(receiver).values()) == {1}
    assert len(receiver.received) == 2 * EVENTS


def test_a_drain_whose_connections_are_cut_loses_nothing_and_sends_nothing_twice(receiver, processes, tables):
    options = {"timeout": BUSY_TIMEOUT} if tables.connection.vendor == "sqlite" else {}
    fill(processes, receiver, EVENTS)
    receiver.respond = lambda request: Answer(delay=0.03)

    with processes.but(environment={"TMS_SCENARIO_OPTIONS": json.dumps(options)}, **LONG).drain() as drain:
        for number in CUTS:
            receiver.wait_for(number, seconds=PATIENCE)
            cut(tables)
        tables.wait_for({"delivered": 2 * EVENTS})
        assert drain.poll() is None
        tally = stop(drain)

    assert (tally["sent"], tally["delivered"]) == (2 * EVENTS, 2 * EVENTS)
    assert_each_came_once(receiver)
    assert_all_delivered_once(tables.outcome(), events=EVENTS)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the server that is stopped here is a PostgreSQL")
def test_a_drain_outlives_a_server_that_is_stopped_and_one_that_crashes(receiver):
    receiver.respond = lambda request: Answer(delay=0.03)

    with server_of_its_own() as server:
        processes = Processes(server.url, {**settings_for(receiver.port), **LONG})
        processes.run("django", "migrate", "--verbosity", "0")
        fill(processes, receiver, EVENTS)
        with processes.drain() as drain:
            for number, mode in ((10, "fast"), (40, "immediate")):
                receiver.wait_for(number, seconds=PATIENCE)
                server.stop(mode)
                time.sleep(0.5)
                server.start()
            wait_until_all(receiver, 2 * EVENTS)
            assert drain.poll() is None
            tally = stop(drain)

        # A claim does not wait for the server's disk: what it was of when the server crashed may be sent twice.
        times = came(receiver)
        assert len(times) == 2 * EVENTS
        assert times.total() <= 2 * EVENTS + IN_FLIGHT
        assert tally["sent"] == times.total()
        assert_all_delivered_once(outcome(processes), events=EVENTS)
