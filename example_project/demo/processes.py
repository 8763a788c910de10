"""The demo's child processes: how they are started, ended, and killed with all that they started themselves."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from django.conf import settings

LAST_WORDS = 2.0
"""Seconds that what a killed process has written may take to be read."""

MANAGE = str(settings.BASE_DIR / "manage.py")


class Child:
    """A process in a session of its own, so that Ctrl-C reaches the demo alone, and one signal the whole family."""

    def __init__(self, *arguments: str, log: Path, talks: bool = False) -> None:
        """Run this Python with ``arguments``. Its errors go to ``log``, and its output too unless it ``talks``."""
        self._listener: threading.Thread | None = None
        self._buried = False
        with log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=settings.BASE_DIR,
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else file,
                stderr=file,
                text=True,
                bufsize=1,
                start_new_session=True,
            )

    def stop(self, *, seconds: float) -> float | None:
        """Ask the process to end, and return how long that took; None if it had to be killed after ``seconds``."""
        start = time.monotonic()
        self.process.terminate()
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            self.kill()
        return time.monotonic() - start

    def kill(self) -> None:
        """Kill the process and all of its family with -9. Idempotent."""
        if self._buried:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._buried = True
        if self._listener is not None:
            self._listener.join(LAST_WORDS)
        for pipe in (self.process.stdin, self.process.stdout):
            # An order that it did not read any more.
            with contextlib.suppress(OSError):
                if pipe is not None:
                    pipe.close()


class Cluster(Child):
    """A real django-q2 cluster."""

    def __init__(self, *, log: Path) -> None:
        super().__init__(MANAGE, "qcluster", log=log)


class Server(Child):
    """Django's development server."""

    def __init__(self, *, port: int, log: Path) -> None:
        # DEBUG is off, and the admin wants its style sheets.
        super().__init__(MANAGE, "runserver", "--noreload", "--insecure", f"127.0.0.1:{port}", log=log)


class ReceiverProcess(Child):
    """The receiver. ``hear`` gets each line that it reports, in a thread of its own."""

    def __init__(self, *, port: int, secrets: Mapping[str, str], hear: Callable[[str], object], log: Path) -> None:
        """Start it and wait until it listens. Raises ``RuntimeError`` where it does not."""
        super().__init__("-m", "example_project.demo.receiver", log=log, talks=True)
        self._tell({"port": port, "secrets": secrets})
        if not self._out.readline():
            self.kill()
            raise RuntimeError(f"The receiver did not start; {log} tells why.")
        self._listener = threading.Thread(target=self._listen, args=(hear,), daemon=True)
        self._listener.start()

    def fail(self, path: str, *, times: int) -> None:
        """Answer the next requests to ``path`` with 503."""
        self._tell({"fail": path, "times": times})

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Keep every request waiting for its answer inside the ``with`` block."""
        self._tell({"hold": True})
        try:
            yield
        finally:
            self._tell({"hold": False})

    def _tell(self, order: Mapping[str, Any]) -> None:
        if self.process.stdin is not None:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()

    @property
    def _out(self) -> Any:
        return self.process.stdout

    def _listen(self, hear: Callable[[str], object]) -> None:
        for line in self._out:
            hear(line)
