"""A PostgreSQL server of a test's own, which it may stop as it likes."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.patience import PATIENCE

NAMED = "postgres"
"""Who runs the server where the tests are run by root, as whom it refuses to."""


class Server:
    """One that listens on loopback, and lets everybody in."""

    def __init__(self, binaries, directory, user):
        self._binaries = binaries
        self._data = directory / "data"
        self._user = user
        self._pid_file = self._data / "postmaster.pid"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"postgres://tms@127.0.0.1:{self.port}/postgres"

    def create(self):
        """Make the files of an empty one."""
        self._run("initdb", "--auth=trust", "--username=tms", "--no-sync", "--encoding=UTF8")

    def copy(self, primary):
        """Make the files of a standby of ``primary``, which runs."""
        source = ["--host=127.0.0.1", f"--port={primary.port}", "--username=tms"]
        self._run("pg_basebackup", *source, "--write-recovery-conf", "--checkpoint=fast", "--no-sync")

    def promote(self):
        """Let a standby be the primary from now on."""
        self._run("pg_ctl", "promote", "--wait")

    @property
    def pid(self):
        return int(self._pid_file.read_text().split()[0])

    @property
    def runs(self):
        return self._pid_file.exists()

    def start(self, **settings):
        """Start it, and wait until it answers."""
        # What is committed survives its processes, as in life; only the machine must not lose power.
        options = f"-p {self.port} -k {self._data} -c listen_addresses=127.0.0.1 -c fsync=off"
        options += "".join(f" -c {name}={value}" for name, value in settings.items())
        self._run("pg_ctl", "start", "--wait", f"--log={self._data}/log", f"--options={options}")

    def stop(self, mode):
        """Stop it: ``fast`` rolls back what is under way, ``immediate`` is a crash."""
        self._run("pg_ctl", "stop", "--wait", f"--mode={mode}")

    def _run(self, program, *arguments):
        subprocess.run(
            [self._binaries / program, f"--pgdata={self._data}", *arguments],
            cwd=self._data.parent,
            user=self._user,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=PATIENCE,
            check=True,
        )


@contextmanager
def server_of_its_own(standby_of=None, **settings):
    """Yield one that runs, with these settings; skip the test where the programs are absent, or this user may not run them."""
    binaries, user = installed(), permitted()
    # Not pytest's own, which nobody else may enter.
    directory = Path(tempfile.mkdtemp(prefix="tms-postgres-"))
    if user:
        shutil.chown(directory, user)
    server = Server(binaries, directory, user)
    try:
        server.copy(standby_of) if standby_of else server.create()
        server.start(**settings)
        try:
            yield server
        finally:
            if server.runs:
                server.stop("immediate")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def installed():
    """Return where the server's programs are."""
    on_path = shutil.which("pg_ctl")
    # Debian keeps them off the path.
    places = [Path(on_path).resolve().parent] if on_path else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    for place in reversed(places):
        if (place / "initdb").exists() and (place / "pg_ctl").exists():
            return place
    pytest.skip("PostgreSQL's initdb and pg_ctl are not installed here.")


def permitted():
    """Return the user who runs the server; None for the one who runs the tests."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(NAMED).pw_name
    except KeyError:
        pytest.skip(f"The tests are run by root, and there is no user {NAMED!r}: PostgreSQL does not run as root.")
