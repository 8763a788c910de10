"""Processes of a scenario, on a database that they share: they may be killed, and the tests' own can't."""

import contextlib
import json
import os
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from django.db import connection

from tests import forks
from tests.patience import PATIENCE
from tests.scenarios.queues import QUEUE

ROOT = Path(__file__).resolve().parents[2]
LEASE = 1.5


def database_url(directory):
    """Return the URL of the tests' database; of a new file in ``directory`` where that one is in memory."""
    values = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{quote(str(directory / 'scenario.sqlite3'))}"
    scheme = {"postgresql": "postgres", "mysql": "mysql"}[connection.vendor]
    user = quote(values["USER"]) + (f":{quote(values['PASSWORD'])}" if values["PASSWORD"] else "")
    port = f":{values['PORT']}" if values["PORT"] else ""
    return f"{scheme}://{user}@{values['HOST']}{port}/{quote(values['NAME'])}"


def lease_of(seconds):
    """Return the constants of leases of so many seconds."""
    return {
        "worker.leases.LEASE": seconds,
        "worker.leases.RENEWED_EVERY": seconds / 5,
        "worker.leases.MARGIN": seconds / 10,
    }


def settings_for(port):
    """Return the settings that let webhooks reach a receiver on loopback, under leases that soon run out.

    A name with dots is that of a constant of the app, which `tests.scenarios.apps` sets.
    """
    return {
        "ALLOWED_SCHEMES": ["http"],
        "UNCHECKED_HOSTS": ["127.0.0.1"],
        "ALLOWED_PORTS": [port],
        **lease_of(LEASE),
        # A drain fans out all that it can, however busy the machine is.
        "routing.budget.MATCHING_BUDGET": 60.0,
    }


class Processes:
    """Starts them, all with the same settings."""

    def __init__(self, url, settings, environment=None):
        self.url = url
        self._settings = dict(settings)
        self._extra = dict(environment or {})

    def but(self, *, environment=None, **settings):
        """Return such as work on the same database with other settings, or another environment."""
        return Processes(self.url, {**self._settings, **settings}, {**self._extra, **(environment or {})})

    @property
    def environment(self):
        """What every process finds in its environment."""
        return {
            **os.environ,
            "TMS_DATABASE": self.url,
            "TMS_SCENARIO": json.dumps(self._settings),
            "DJANGO_SETTINGS_MODULE": "tests.scenarios.settings",
            **self._extra,
        }

    def run(self, *arguments):
        """Run a Python module to its end and return what it printed; fail the test where that ends badly."""
        done = self.attempt(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def attempt(self, *arguments):
        """Run a Python module to its end, however that is."""
        return forks.run("-m", *arguments, env=self.environment, cwd=ROOT)

    @contextmanager
    def start(self, *arguments):
        """Start a Python module; if it still runs at the end of the block, it is killed, and what it started too."""
        process = forks.Python(
            "-m",
            *arguments,
            env=self.environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        with process:
            try:
                yield process
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def drain(self, *options, seconds=PATIENCE):
        """Start a drain; if it still runs at the end of the block, it is killed."""
        return self.start("django", "webhooks_drain", "--skip-checks", "--json", "--seconds", str(seconds), *options)

    def cluster(self):
        """Start the workers of the queue, which are killed at the end of the block."""
        return self.start(*QUEUE.command)


def stop(process):
    """Ask a drain to stop, and return what it says that it did."""
    process.send_signal(signal.SIGTERM)
    return tally_of(process)


def tally_of(process, *, seconds=PATIENCE):
    """Wait until a drain ends, which it has to do well and in time, and return what it says that it did."""
    printed, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0
    return json.loads(printed)
