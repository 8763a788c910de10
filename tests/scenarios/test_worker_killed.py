"""Workers are killed with SIGKILL while they send: what they held is delivered by others, and nothing is lost."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from tests.receiver import Answer, Received, Receiver
from tests.scenarios.processes import Processes, database_url

pytestmark = pytest.mark.django_db(transaction=True)

LEASE = 1.5
STARTING = 8.0
"""Seconds that a process may take to start, on a busy machine."""


def settings_for(port: int) -> dict[str, Any]:
    return {
        "ALLOWED_SCHEMES": ["http"],
        "ALLOWED_HOSTS": ["127.0.0.1"],
        "ALLOWED_PORTS": [port],
        "LEASE": LEASE,
        "HEARTBEAT": 0.3,
    }


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an empty database with all tables, where the tests' own is in memory."""
    directory = tmp_path_factory.mktemp("empty")
    if connection.vendor == "sqlite":
        Processes(database_url(directory), settings_for(443)).run("django", "migrate", "--verbosity", "0")
    return directory


@pytest.fixture
def processes(receiver: Receiver, tmp_path: Path, empty: Path) -> Processes:
    """Processes on an empty database, and a receiver that does not mind callers that die."""
    receiver._server.handle_error = lambda *_args: None
    for file in empty.iterdir():
        shutil.copy(file, tmp_path)
    return Processes(database_url(tmp_path), settings_for(receiver.port))


def fill(processes: Processes, receiver: Receiver, events: int) -> None:
    processes.run("tests.scenarios.outbox", "fill", f"http://127.0.0.1:{receiver.port}", str(events))


def outcome(processes: Processes) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(processes.run("tests.scenarios.outbox", "show"))
    return shown


def name(request: Received) -> tuple[str, str]:
    """What a request brings, and where to."""
    return (request.path, request.headers["webhook-id"])


def wait_until_all(receiver: Receiver, deliveries: int, *, seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while len({name(request) for request in list(receiver.received)}) < deliveries:
        assert time.monotonic() < end, f"{len(receiver.received)} requests came"
        time.sleep(0.02)


def stop(process: Any) -> dict[str, int]:
    """Ask a drain to stop, and return what it says that it did."""
    process.send_signal(signal.SIGTERM)
    printed, _ = process.communicate(timeout=10)
    assert process.returncode == 0
    tally: dict[str, int] = json.loads(printed)
    return tally


def assert_all_delivered_once(shown: dict[str, Any], *, events: int) -> None:
    deliveries = shown["deliveries"]
    assert len({(url, event) for url, event, _, _ in deliveries}) == len(deliveries) == 2 * events
    assert {(status, attempts) for _, _, status, attempts in deliveries} == {("delivered", 1)}
    numbered = [(delivery, number) for delivery, number, _ in shown["attempts"] if number is not None]
    assert len(set(numbered)) == len(numbered) == 2 * events
    assert {number for _, number in numbered} == {1}


def test_what_a_killed_worker_was_sending_is_delivered_by_another_when_its_lease_is_over(receiver, processes):
    fill(processes, receiver, 8)
    # The first four, two for each webhook, get no answer while their worker lives.
    receiver.respond = lambda request: Answer(delay=4.0 if len(receiver.received) <= 4 else 0.0)

    with processes.drain() as victim:
        receiver.wait_for(4)
        victim.kill()
    killed_at = time.monotonic()
    interrupted = Counter(name(request) for request in receiver.received)
    assert len(interrupted) == 4

    with processes.drain() as heir:
        wait_until_all(receiver, 16)
        # Each of the four comes once more.
        receiver.wait_for(20)
        assert time.monotonic() - killed_at < LEASE + STARTING
        tally = stop(heir)

    assert (tally["sent"], tally["delivered"]) == (16, 16)
    received = Counter(name(request) for request in receiver.received)
    assert {one: count for one, count in received.items() if count > 1} == dict.fromkeys(interrupted, 2)
    assert_all_delivered_once(outcome(processes), events=8)


def test_workers_that_are_killed_one_after_the_other_lose_nothing(receiver, processes):
    fill(processes, receiver, 60)
    receiver.respond = lambda request: Answer(delay=0.01)

    for number in (25, 60):
        with processes.drain() as victim:
            receiver.wait_for(number, seconds=STARTING + LEASE)
            victim.kill()
    time.sleep(LEASE)
    processes.run("django", "webhooks_drain", "--until-idle")

    assert len({name(request) for request in receiver.received}) == 120
    # Four were under way at each kill; the answers of some more had come, and were not written down yet.
    assert 0 < len(receiver.received) - 120 < 2 * 60
    assert_all_delivered_once(outcome(processes), events=60)
