"""What every scenario starts with: an empty database, a receiver, and processes that know of both."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.db import connection, connections

from tests.integration.delivery.worker import Worker
from tests.receiver import Receiver
from tests.scenarios.jumps import webhook_at
from tests.scenarios.processes import Processes, database_url, settings_for
from tests.scenarios.tables import Tables
from tms_webhooks.models import Webhook
from tms_webhooks.net.client import Client


@pytest.fixture(scope="session")
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


@pytest.fixture
def tables(processes: Processes, tmp_path: Path) -> Iterator[Tables]:
    """The processes' database as the tests see it meanwhile: their own, or the file beside theirs in memory."""
    if connection.vendor != "sqlite":
        yield Tables("default")
        return
    wrapper = connections["default"].copy(alias="scenario")
    wrapper.settings_dict["NAME"] = str(tmp_path / "scenario.sqlite3")
    wrapper.settings_dict["OPTIONS"]["timeout"] = 5
    connections["scenario"] = wrapper
    try:
        yield Tables("scenario")
    finally:
        wrapper.close()
        del connections["scenario"]


@pytest.fixture
def webhook(receiver) -> Webhook:
    """A webhook at the receiver."""
    return webhook_at(receiver)


@pytest.fixture
def worker(clock, receiver) -> Iterator[Callable[[str], Worker]]:
    """Make a worker of this name, with a real client."""
    client = Client()
    yield lambda name: Worker(name, clock=clock, wire=client)
    client.close()
