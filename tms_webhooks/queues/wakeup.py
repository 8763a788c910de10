"""Waking a drain that is at work already, in a millisecond: by a datagram on one host, by NOTIFY between hosts.

Both are only taps on the shoulder. One that gets lost costs a fraction of a second, until the drain looks by itself.
"""

from __future__ import annotations

import hashlib
import logging
import os
import socket
import stat
import tempfile
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import monotonic

from django.db import connections

CHANNEL = "tms_webhooks"
NOTIFY_PAUSE = 0.01
LISTEN_PATIENCE = 1.0
# Who was there a moment ago is tapped without looking into the folder again.
LOOK_AGAIN = 1.0

logger = logging.getLogger(__name__)

# When the folder was looked into, and where a tap was felt then, by database.
_woken: dict[str, tuple[float, list[str]]] = {}


class WakeUpListener:
    """Calls ``callback`` whenever somebody rings, from a thread of its own, until it is closed."""

    def __init__(self, alias: str, callback: Callable[[], None]) -> None:
        self._stopped = threading.Event()
        self._callback = callback
        self._socket, self._path = _bind(alias)
        self._threads = [threading.Thread(target=self._hear_datagrams, daemon=True)] if self._socket else []
        if connections[alias].vendor == "postgresql":
            self._threads.append(threading.Thread(target=self._hear_notifications, args=(alias,), daemon=True))
        for thread in self._threads:
            thread.start()

    @property
    def hears(self) -> bool:
        """Whether there is any way to wake this listener."""
        return bool(self._threads)

    def close(self) -> None:
        """Stop listening. Does not wait for a thread that waits for the database."""
        self._stopped.set()
        if self._socket is not None and self._path is not None:
            self._path.unlink(missing_ok=True)
            self._socket.close()

    def _hear_datagrams(self) -> None:
        while not self._stopped.is_set() and self._socket is not None:
            try:
                self._socket.recv(16)
            except TimeoutError:
                continue
            except OSError:
                return
            self._callback()

    def _hear_notifications(self, alias: str) -> None:
        while not self._stopped.is_set():
            wrapper = connections[alias].copy()
            try:
                wrapper.ensure_connection()
                wrapper.set_autocommit(True)
                with wrapper.cursor() as cursor:
                    cursor.execute(f"LISTEN {CHANNEL}")
                while not self._stopped.is_set():
                    for _notification in wrapper.connection.notifies(timeout=LISTEN_PATIENCE, stop_after=1):
                        self._callback()
            except Exception:
                # Also psycopg's own, where Django wraps none: the connection may break while it waits.
                logger.warning("Listening for notifications failed; trying again.", exc_info=True)
                self._stopped.wait(LISTEN_PATIENCE)
            finally:
                wrapper.close()


def wake_local(alias: str) -> bool:
    """Tap every drain of this database on this host; return whether one was there to feel it."""
    if not hasattr(socket, "AF_UNIX"):
        return False
    key = _key(alias)
    looked_at, paths = _woken.get(key, (0.0, []))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        felt = [_wake_socket(path, sender) for path in paths] if monotonic() - looked_at < LOOK_AGAIN else []
        if felt and all(felt):
            return True
        paths = [path for path in _sockets(key) if _wake_socket(path, sender)]
    _woken[key] = (monotonic(), paths)
    return bool(paths)


def _sockets(key: str) -> list[str]:
    directory = _directory()
    return [] if directory is None else [str(path) for path in directory.glob(f"{key}-*")]


def _wake_socket(path: str, sender: socket.socket) -> bool:
    try:
        sender.sendto(b"1", path)
    except BlockingIOError:
        return True  # It has enough taps waiting.
    except ConnectionRefusedError:
        Path(path).unlink(missing_ok=True)  # Left behind by a process that was killed.
        return False
    except OSError:
        return False
    return True


class Notifier:
    """Sends NOTIFY, as a statement of its own after the commit, and not too often.

    Inside the transaction it would take a lock over the whole database at each commit.
    """

    def __init__(self) -> None:
        self._next = 0.0

    def notify(self, alias: str) -> None:
        """Notify the listeners of this database, where it can be done."""
        connection = connections[alias]
        if connection.vendor != "postgresql" or connection.in_atomic_block or monotonic() < self._next:
            return
        self._next = monotonic() + NOTIFY_PAUSE
        with connection.cursor() as cursor:
            cursor.execute(f"NOTIFY {CHANNEL}")


def _bind(alias: str) -> tuple[socket.socket | None, Path | None]:
    directory = _directory()
    if directory is None:
        return None, None
    _tidy(directory)
    path = directory / f"{_key(alias)}-{os.getpid()}-{threading.get_ident() % 100_000}"
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        listener.bind(str(path))
    except OSError:
        listener.close()
        return None, None
    listener.settimeout(LISTEN_PATIENCE)
    return listener, path


def _tidy(directory: Path) -> None:
    """Remove what killed processes left behind, of whatever database: nobody may ever ring for theirs again."""
    for path in directory.iterdir():
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as visitor:
            try:
                visitor.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            except OSError:
                continue


def _directory() -> Path | None:
    """Return a folder that only this user can write to, or None where there is no such thing."""
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
    """Return a short name for a database, the same in every process that uses it."""
    settings = connections[alias].settings_dict
    name = str(settings["NAME"])
    name = os.path.abspath(name) if connections[alias].vendor == "sqlite" else name
    return _digest(settings["ENGINE"], settings["HOST"], settings["PORT"], name)


@cache
def _digest(*parts: object) -> str:
    return hashlib.sha256("|".join(str(part) for part in parts).encode()).hexdigest()[:16]
