"""Where the demo lives: a folder, a fresh database, a free port, and the environment that tells its processes so."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

SETTINGS = "example_project.demo.settings"
DATABASE = "demo.sqlite3"
LOCK = "lock"
LOGS = ("demo.log", "cluster.log", "receiver.log", "server.log")


class Occupied(Exception):
    """Another demo runs in the folder."""


def environment(folder: Path) -> dict[str, str]:
    """Return the environment for the demo's processes, on a free port of this machine."""
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": SETTINGS,
        "TMS_DATABASE": f"sqlite:///{quote(str(folder / DATABASE))}",
        "TMS_DEMO_PORTS": str(free_port()),
        "PYTHONUNBUFFERED": "1",
    }


def receiver_port(environ: Mapping[str, str]) -> int:
    """Return the port that `environment` has chosen for the receiver."""
    return int(environ["TMS_DEMO_PORTS"].split(",")[0])


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def clean_folder(folder: Path) -> Iterator[None]:
    """Make ``folder`` as good as new, and keep it to ourselves inside the ``with`` block.

    Only files that a demo makes are removed. Raises `Occupied` where another demo is at work in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Occupied(f"Another demo is running in {folder}: stop it first.") from error
        for name in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", *LOGS):
            (folder / name).unlink(missing_ok=True)
        yield
