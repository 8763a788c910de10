"""Start, stop and kill the demo's child processes, with their own children."""

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

DRAIN_SECONDS = 2.0
"""Longest time to read the remaining output of a killed process, in seconds."""

MANAGE = str(settings.BASE_DIR / "manage.py")


class Child:
    """A process in its own session: Ctrl-C reaches the demo only, and one signal reaches all of its processes."""

    def __init__(self, *arguments: str, log: Path, talks: bool = False) -> None:
        """Run this Python with ``arguments``. Its errors go to ``log``, and its output too unless it ``talks``."""
        self._listener: threading.Thread | None = None
        self._killed = False
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
        """Kill the process and its children with SIGKILL. Idempotent."""
        if self._killed:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._killed = True
        if self._listener is not None:
            self._listener.join(DRAIN_SECONDS)
        for pipe in (self.process.stdin, self.process.stdout):
            # An order that it no longer read.
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
        # --insecure, because DEBUG is off and the admin needs its style sheets.
        super().__init__(MANAGE, "runserver", "--noreload", "--insecure", f"127.0.0.1:{port}", log=log)


class ReceiverProcess(Child):
    """The receiver. A thread calls ``hear`` with each line of its output."""

    def __init__(self, *, port: int, secrets: Mapping[str, str], hear: Callable[[str], object], log: Path) -> None:
        """Start it and wait until it listens. Raise ``RuntimeError`` if it does not."""
        super().__init__("-m", "example_project.demo.receiver", log=log, talks=True)
        self._order({"port": port, "secrets": secrets})
        if not self._out.readline():
            self.kill()
            raise RuntimeError(f"The receiver did not start; see {log}.")
        self._listener = threading.Thread(target=self._listen, args=(hear,), daemon=True)
        self._listener.start()

    def fail(self, path: str, *statuses: int) -> None:
        """Answer the next requests to ``path`` with these statuses."""
        self._order({"fail": path, "statuses": statuses})

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Keep every request waiting for its answer inside the ``with`` block."""
        self._order({"hold": True})
        try:
            yield
        finally:
            self._order({"hold": False})

    def _order(self, order: Mapping[str, Any]) -> None:
        if self.process.stdin is not None:
            self.process.stdin.write(json.dumps(order) + "\n")
            self.process.stdin.flush()

    @property
    def _out(self) -> Any:
        return self.process.stdout

    def _listen(self, hear: Callable[[str], object]) -> None:
        for line in self._out:
            hear(line)
