"""A process killed with -9 at any point of a save in autocommit mode leaves row and event both, or neither, and what
was committed is delivered although nobody rang for it. Real processes, real databases."""

import contextlib
import json
import os
import shutil
import signal
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests import forks
from tests.receiver import Receiver
from tests.scenarios.crashing import ROUNDS

ROOT = Path(__file__).resolve().parents[2]
POSTGRES = (
    os.environ.get("TMS_CI_POSTGRES") or "postgres://root@127.0.0.1/postgres",
    "postgres://tms_ci:tms_ci@127.0.0.1/postgres",
)


def reachable_postgres():
    """Return the address of a PostgreSQL server that lets us in; skip where there is none, or fail if there has to be."""
    for url in POSTGRES:
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(url, connect_timeout=3).close()
            return url
    message = f"No PostgreSQL lets us in at {POSTGRES[0]}; name another one in TMS_CI_POSTGRES."
    if os.environ.get("TMS_REQUIRE_SERVICES") == "1":
        pytest.fail(message)
    pytest.skip(message)


@contextlib.contextmanager
def new_database(kind, empty_file, folder):
    """Make a database for these tests alone, and yield its URL."""
    if kind == "sqlite":
        yield f"sqlite:///{shutil.copy(empty_file, folder)}"
        return
    server, name = reachable_postgres(), f"tms_crash_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield urlsplit(server)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def crash(database, receiver):
    """Play all scenes in a process of their own, and return what came of them."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "TMS_DATABASE": database,
        "TMS_DEMO_PORTS": str(receiver.port),
    }
    process = forks.run("-m", "tests.scenarios.crashing", receiver.url, cwd=ROOT, env=environment)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgres", marks=pytest.mark.slow)])
def crashed(request, empty_file, tmp_path_factory):
    """What twenty crashes at each point left behind, and what the receiver got after them."""
    receiver = Receiver()
    try:
        with new_database(request.param, empty_file, tmp_path_factory.mktemp("crash")) as database:
            yield crash(database, receiver), receiver
    finally:
        receiver.close()


@pytest.mark.parametrize("scene", ["between", "before_commit", "before_wake_up", "unprotected"])
def test_every_process_was_killed_where_it_was_to_be(crashed, scene):
    outcome, _receiver = crashed

    assert outcome[scene]["killed"] == [signal.SIGKILL] * ROUNDS


@pytest.mark.parametrize("scene", ["between", "before_commit"])
def test_a_process_killed_before_the_commit_leaves_neither_row_nor_event(crashed, scene):
    outcome, _receiver = crashed

    assert (outcome[scene]["rows"], outcome[scene]["events"], outcome[scene]["numbers"]) == ([], [], [])


def test_a_process_killed_after_the_commit_leaves_both(crashed):
    outcome, _receiver = crashed
    scene = outcome["before_wake_up"]

    assert scene["rows"] == scene["events"] == scene["keys"]
    # The drain gives the numbers.
    assert scene["numbers"] == []


def test_without_the_transaction_of_the_app_the_event_would_be_lost(crashed):
    """The crashes come at the right point: as Django saves by itself, the row would be there and its event would not."""
    outcome, _receiver = crashed
    scene = outcome["unprotected"]

    assert (scene["rows"], scene["events"]) == (scene["keys"], [])


def test_twenty_of_twenty_events_that_nobody_rang_for_are_delivered(crashed):
    outcome, receiver = crashed

    assert outcome["delivered"] == ROUNDS
    assert sorted(event["data"]["id"] for event in receiver.events) == outcome["before_wake_up"]["keys"]
    assert len({event["id"] for event in receiver.events}) == ROUNDS
    for request in receiver.received:
        request.verify(outcome["secret"])
        assert request.event["type"] == "class.cancelled"
        assert request.event["previous"] == {"status": {"code": 0, "name": "Scheduled"}}
