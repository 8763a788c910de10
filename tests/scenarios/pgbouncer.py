"""PgBouncer in transaction mode, in front of the tests' PostgreSQL: each transaction may run on another connection."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.patience import PATIENCE
from tests.scenarios.postgres import permitted

CONFIGURATION = """
[databases]
* = host={host} port={port} user={user} {password}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = any
pool_mode = transaction
; Fewer than the processes have connections, so that these change hands.
default_pool_size = 4
; As in versions before 1.21, which know no prepared statements.
max_prepared_statements = 0
logfile = {log}
"""


@contextmanager
def pooler(database):
    """Yield the URL of this database behind a pooler; skip the test where PgBouncer is not installed."""
    program, user = installed(), permitted()
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = free.getsockname()[1]
    # Not pytest's own, which no other user may enter.
    directory = Path(tempfile.mkdtemp(prefix="tms-pgbouncer-"))
    file, log = directory / "pgbouncer.ini", directory / "log"
    file.write_text(
        CONFIGURATION.format(
            host=database["HOST"] or "127.0.0.1",
            port=database["PORT"] or 5432,
            user=database["USER"],
            password=f"password={database['PASSWORD']}" if database["PASSWORD"] else "",
            listen=listen,
            log=log,
        )
    )
    if user:
        shutil.chown(directory, user)
    process = subprocess.Popen([program, "--quiet", file], user=user, stderr=subprocess.DEVNULL)
    try:
        wait_until_it_listens(listen, process, log)
        yield f"postgres://tms@127.0.0.1:{listen}/{database['NAME']}"
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(directory, ignore_errors=True)


def wait_until_it_listens(port, process, log):
    end = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end
            time.sleep(0.05)


def installed():
    """Return the path of the program. Debian keeps it where only root looks."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        if os.environ.get("TMS_REQUIRE_SERVICES") == "1":
            pytest.fail("PgBouncer is not installed here.")
        pytest.skip("PgBouncer is not installed here.")
    return found
