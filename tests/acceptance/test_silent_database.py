"""A database that accepts connections and never answers: a network that drops packets, or a server that hangs."""

import json
import os
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from time import monotonic

import pytest

from tests import forks
from tests.acceptance.once import ONCE
from tests.conftest import ROOT
from tests.patience import PATIENCE

pytestmark = [pytest.mark.slow, ONCE]

MYSQL = pytest.param(
    "mysql", marks=pytest.mark.skipif(find_spec("MySQLdb") is None, reason="mysqlclient is not installed (extra mysql)")
)
# What a PostgreSQL server says to a client that it admits: no encryption; authenticated; ready for a query.
ADMITTED = b"N", b"R\0\0\0\x08\0\0\0\0" + b"Z\0\0\0\x05I"


@dataclass
class Server:
    """A socket that accepts connections, answers each with these messages in turn, and then is silent."""

    kind: str
    answers: tuple[bytes, ...] = ()
    accepted_at: float = 0.0
    clients: list[socket.socket] = field(default_factory=list)

    def serve(self, listening):
        with suppress(OSError):
            while True:
                self.clients.append(listening.accept()[0])
                self.accepted_at = self.accepted_at or monotonic()
                for answer in self.answers:
                    self.clients[-1].recv(1024)
                    self.clients[-1].sendall(answer)

    def run(self, *arguments):
        """Run a command with this database; return its exit status and the text that it printed."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            threading.Thread(target=self.serve, args=[listening], daemon=True).start()
            url = f"{self.kind}://tms:password-of-the-database@127.0.0.1:{listening.getsockname()[1]}/tms"
            done = forks.run(
                "manage.py",
                *arguments,
                cwd=ROOT,
                env={**os.environ, "TMS_DATABASE": url, "DJANGO_SETTINGS_MODULE": "tests.settings"},
            )
            # From the connection on: a busy machine takes seconds to start a process.
            assert self.accepted_at
            assert monotonic() - self.accepted_at < PATIENCE
            # Ten seconds at most: the text says that each wait takes five.
            assert len(self.clients) <= 2
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout + done.stderr


NO_ANSWER = (
    "The database has not answered within 5 s. Make sure that it runs, that this host reaches it, and that it is not "
    "overloaded.\n"
)


@pytest.mark.parametrize("kind", ["postgres", MYSQL])
def test_health_ends_with_the_worst_status_within_ten_seconds(kind):
    status, text = Server(kind).run("webhooks_health")

    assert (status, text) == (2, f"STOPPED: {NO_ANSWER}")


def test_a_query_without_an_answer_ends_health_too():
    status, text = Server("postgres", ADMITTED).run("webhooks_health", "--json")

    assert status == 2
    assert json.loads(text) == {"status": 2, "level": "stopped", "reasons": [NO_ANSWER.strip()], "liveness": None}


def test_a_supervisor_restarts_no_workers_for_it():
    status, text = Server("postgres").run("webhooks_health", "--restart-hint")

    assert (status, text) == (0, f"OK: a restart of the workers would not help. {NO_ANSWER}")


@pytest.mark.parametrize("command", [["webhooks_tail"], ["webhooks_drain", "--until-idle"]])
def test_another_command_ends_with_one_line(command):
    assert Server("postgres").run(*command) == (2, f"CommandError: {NO_ANSWER}")
