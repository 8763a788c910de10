"""The demo's folder, database and port, and the environment variables that pass them to its processes."""

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
    """Return the port that `environment` chose for the receiver."""
    return int(environ["TMS_DEMO_PORTS"].split(",")[0])


def free_port() -> int:
    """Return an unused port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def clean_folder(folder: Path) -> Iterator[None]:
    """Remove the files of an earlier demo from ``folder``, and lock it inside the ``with`` block.

    Other files stay. Raises `Occupied` if another demo runs in the folder.
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
