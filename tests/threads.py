"""Several workers at the same moment, each in a thread and a connection of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

several = pytest.mark.skipif(
    connection.vendor == "sqlite",
    reason="the tests' SQLite is in memory, where there is one writer, waiting for nobody",
)


def close_connections() -> None:
    """Close what this thread has opened of databases: what every thread of a test does at its end.

    ``close`` alone leaves one in memory open, or Django would lose it; here the test's own connection keeps it.
    """
    for one in connections.all(initialized_only=True):
        BaseDatabaseWrapper.close(one)


class Beside(threading.Thread):
    """Runs a call beside the test, on connections of its own."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.error: BaseException | None = None
        self._call = call
        self._result: Any = None
        self.start()

    def run(self) -> None:
        try:
            self._result = self._call()
        except BaseException as error:
            self.error = error
        finally:
            close_connections()

    def wait(self, seconds: float = 60) -> None:
        """Wait until it ends, which it has to do in time."""
        self.join(seconds)
        assert not self.is_alive()

    def finish(self, seconds: float = 60) -> Any:
        """Wait until it ends, and return what the call returned, or raise what it raised."""
        self.wait(seconds)
        if self.error is not None:
            raise self.error
        return self._result


def at_once(*calls: Callable[[], object]) -> list[BaseException]:
    """Run the calls in threads that start together; return what they raised."""
    start = threading.Barrier(len(calls))

    def started(call: Callable[[], object]) -> Callable[[], object]:
        return lambda: (start.wait(10), call())

    threads = [Beside(started(call)) for call in calls]
    for thread in threads:
        thread.wait()
    return [thread.error for thread in threads if thread.error is not None]
