"""What every scenario starts with: an empty database, a receiver, and processes that know of both."""

import shutil

import pytest
from django.db import connection, connections

from tests.integration.delivery.worker import Worker
from tests.scenarios.jumps import webhook_at
from tests.scenarios.processes import Processes, database_url, settings_for
from tests.scenarios.queues import QUEUE
from tests.scenarios.tables import Tables
from tms_webhooks.net.transports.client import Client


@pytest.fixture
def processes(request, receiver, tmp_path):
    """Processes on an empty database, and a receiver that does not mind callers that die."""
    receiver._server.handle_error = lambda *_args: None
    if connection.vendor == "sqlite":
        # The tests' own is in memory, where no other process sees it.
        shutil.copy(request.getfixturevalue("empty_file"), tmp_path / "scenario.sqlite3")
    environment = QUEUE.own_environment()
    yield Processes(database_url(tmp_path), settings_for(receiver.port), environment)
    QUEUE.forget(environment)


@pytest.fixture
def tables(processes, tmp_path):
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
def webhook(receiver):
    """A webhook at the receiver."""
    return webhook_at(receiver)


@pytest.fixture
def worker(clock, receiver):
    """Return the worker of this name, with a real client."""
    client, workers = Client(), dict[str, Worker]()

    def worker(name):
        if name not in workers:
            workers[name] = Worker(name, clock=clock, wire=client)
        return workers[name]

    yield worker
    client.close()
