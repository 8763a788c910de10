"""Wake running drains within a millisecond: by a datagram on the same host, by PostgreSQL's NOTIFY on other hosts.

Each listener binds a Unix socket in a directory of its user. If a wake-up is lost, the drain's polling finds the work a
fraction of a second later.
"""

from __future__ import annotations

import atexit
import errno
import hashlib
import logging
import os
import socket
import stat
import tempfile
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from selectors import EVENT_READ, BaseSelector
from time import monotonic
from typing import Any

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

CHANNEL = "tms_webhooks"
"""The channel of NOTIFY and LISTEN."""
NOTIFY_INTERVAL = 0.01
"""Minimum seconds between two NOTIFY statements of a process."""
RECONNECT_INTERVAL = 1.0
"""Seconds between two attempts to connect for notifications."""
CACHE_SECONDS = 1.0
"""Seconds for which the sockets of a database are known without reading the directory again."""
NAMING_OPTIONS = (
    "host",
    "port",
    "unix_socket",
    "dbname",
    "database",
    "service",
    "read_default_file",
    "read_default_group",
)
"""The options of a driver that name a database, instead of the settings."""

logger = logging.getLogger(__name__)

# By database: when the directory was read, and the paths of the sockets that were woken then.
_woken: dict[str, tuple[float, list[str]]] = {}
# By alias: when this process notified last.
_notified_at: dict[str, float] = {}


class WakeUpListener:
    """Receives the wake-ups of a database. Its sockets are in the caller's ``selector`` until it is closed.

    On PostgreSQL it holds the advisory lock ``lock`` in a session of its own, which ends with the process.
    """

    def __init__(self, alias: str, selector: BaseSelector, *, lock: tuple[int, int]) -> None:
        self._alias, self._selector, self._lock = alias, selector, lock
        self._socket = _bind(alias)
        if self._socket is not None:
            selector.register(self._socket, EVENT_READ)
        host = connections[alias]
        self._listens = host.vendor == "postgresql"
        # SQLite's wake-ups all come from this host.
        self._is_on_this_host = host.vendor == "sqlite" and self._socket is not None
        # Behind a pool of connections, such as PgBouncer's, several processes share a session.
        self._has_session = self._listens and not host.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")
        # The connection that listens, and when to connect again.
        self._wrapper: BaseDatabaseWrapper | None = None
        self._descriptor: int | None = None
        self._connect_at = 0.0
        self._has_failed = False
        self.collect()

    @property
    def hears(self) -> bool:
        """Whether this listener can be woken now."""
        return self._socket is not None or self._wrapper is not None

    @property
    def hears_all(self) -> bool:
        """Whether no wake-up is missed, whatever host it comes from."""
        return self._is_on_this_host or self.holds_lock

    @property
    def holds_lock(self) -> bool:
        """Whether its session holds the lock now."""
        return self._has_session and self._wrapper is not None

    def collect(self) -> bool:
        """Take the wake-ups that have come, and return whether there was one. Does not wait for one.

        On PostgreSQL it also opens the connection that listens; if that breaks, it tries again every second.
        """
        is_woken = False
        with suppress(OSError):
            while self._socket is not None:
                self._socket.recv(16)
                is_woken = True
        if self._listens:
            try:
                is_woken = self._collect_notifications() or is_woken
            except Exception:
                # Any exception: Django does not wrap those of the driver's own methods.
                if not self._has_failed:
                    logger.warning("Listening for notifications failed; trying again.", exc_info=True)
                self._has_failed = True
                self._disconnect()
                self._connect_at = monotonic() + RECONNECT_INTERVAL
        return is_woken

    def close(self) -> None:
        """Stop listening."""
        self._disconnect()
        if self._socket is not None:
            self._selector.unregister(self._socket)
            Path(self._socket.getsockname()).unlink(missing_ok=True)
            self._socket.close()

    def _collect_notifications(self) -> bool:
        if self._wrapper is None:
            if monotonic() >= self._connect_at:
                self._connect()
            return False
        driver = self._wrapper.connection.pgconn
        driver.consume_input()
        is_woken = False
        while driver.notifies() is not None:
            is_woken = True
        return is_woken

    def _connect(self) -> None:
        wrapper = self._wrapper = connections[self._alias].copy()
        wrapper.ensure_connection()
        wrapper.set_autocommit(True)
        with wrapper.cursor() as cursor:
            cursor.execute(f"LISTEN {CHANNEL}")
            if self._has_session:
                # Of this drain alone: no other one waits for it.
                cursor.execute("SELECT pg_advisory_lock(%s, %s)", self._lock)
        self._descriptor = wrapper.connection.fileno()
        self._selector.register(self._descriptor, EVENT_READ)
        self._has_failed = False

    def _disconnect(self) -> None:
        # The number was kept: a connection that broke has none any more.
        if self._descriptor is not None:
            self._selector.unregister(self._descriptor)
            self._descriptor = None
        if self._wrapper is not None:
            self._wrapper.close()
            self._wrapper = None


def wake_local(alias: str) -> bool:
    """Wake every drain of this database on this host; return whether one was woken."""
    key = _key(alias)
    read_at, paths = _woken.get(key, (0.0, []))
    woken = [_wake_socket(path) for path in paths] if monotonic() - read_at < CACHE_SECONDS else []
    if not woken or not all(woken):
        directory = _directory()
        found = map(str, directory.glob(f"{key}-*")) if directory else ()
        paths = [path for path in found if _wake_socket(path)]
        _woken[key] = monotonic(), paths
    return bool(paths)


@cache
def _sender() -> socket.socket:
    """Return the socket of this process that sends wake-ups. It has no address: threads and forked processes may share it."""
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender.setblocking(False)
    atexit.register(sender.close)
    return sender


def _wake_socket(path: str) -> bool:
    """Send a wake-up to a socket; return whether a process has it open. Remove that of a process that was killed."""
    try:
        _sender().sendto(b"1", path)
    except BlockingIOError:
        return True  # Its buffer is full of wake-ups.
    except ConnectionRefusedError:
        Path(path).unlink(missing_ok=True)
        return False
    except OSError:
        return False
    return True


def notify(alias: str) -> None:
    """Notify the listeners of this database. Only on PostgreSQL, outside of a transaction, and once per NOTIFY_INTERVAL.

    Within a transaction, NOTIFY locks the whole database during the commit.
    """
    connection = connections[alias]
    is_time = monotonic() - _notified_at.get(alias, float("-inf")) >= NOTIFY_INTERVAL
    if is_time and connection.vendor == "postgresql" and not connection.in_atomic_block:
        _notified_at[alias] = monotonic()
        with connection.cursor() as cursor:
            cursor.execute(f"NOTIFY {CHANNEL}")


def _bind(alias: str) -> socket.socket | None:
    """Return the socket of this thread for wake-ups; None if it can't have one."""
    directory = _directory()
    if directory is None:
        return None
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        for path in directory.iterdir():
            # Those of killed processes, of all databases, are removed. To connect wakes none of them.
            if probe.connect_ex(str(path)) == errno.ECONNREFUSED:
                path.unlink(missing_ok=True)
    path = directory / f"{_key(alias)}-{os.getpid()}-{threading.get_ident() % 100_000}"
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        return None
    listener.setblocking(False)
    return listener


def _directory() -> Path | None:
    """Return a directory that only this user can write to; None if the platform has no Unix sockets, or it can't be made."""
    if not hasattr(socket, "AF_UNIX") or not hasattr(os, "getuid"):
        return None
    path = Path(tempfile.gettempdir()) / f"tms_webhooks-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        status = path.lstat()
    except OSError:
        return None
    private = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and not status.st_mode & 0o022
    return path if private else None


def _key(alias: str) -> str:
    """Return a short name of a database, the same in each process on this host that uses it."""
    connection: Any = connections[alias]  # Only SQLite's has `is_in_memory_db`.
    settings = connection.settings_dict
    name = str(settings["NAME"])
    if connection.vendor == "sqlite":
        # Each process has its own database in memory, under a name that others may use as well.
        name = f"{name} {os.getpid()}" if connection.is_in_memory_db() else os.path.abspath(name)
    options = map(settings["OPTIONS"].get, NAMING_OPTIONS)
    return _digest(settings["ENGINE"], settings["HOST"], settings["PORT"], name, *options)


@cache
def _digest(*parts: object) -> str:
    return hashlib.sha256("|".join(str(part) for part in parts).encode()).hexdigest()[:16]
