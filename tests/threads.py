"""Several workers at the same moment, each in a thread and a connection of its own."""

import threading
import time

import pytest
from django.db import OperationalError, connection, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from tests.patience import PATIENCE

several = pytest.mark.skipif(
    connection.vendor == "sqlite",
    reason="the tests' SQLite is in memory, where there is one writer, waiting for nobody",
)
one_writer = pytest.mark.skipif(connection.vendor != "sqlite", reason="the others have as many writers as connections")


def close_connections():
    """Close what this thread has opened of databases: what every thread of a test does at its end.

    ``close`` alone leaves one in memory open, or Django would lose it; here the test's own connection keeps it.
    """
    for one in connections.all(initialized_only=True):
        BaseDatabaseWrapper.close(one)


class Beside(threading.Thread):
    """Runs a call beside the test, on connections of its own."""

    def __init__(self, call):
        super().__init__(daemon=True)
        self.error = None
        self._call = call
        self._result = None
        self.start()

    def run(self):
        try:
            self._result = self._call()
        except BaseException as error:
            self.error = error
        finally:
            close_connections()

    def wait(self):
        """Wait until it ends, which it has to do in time."""
        self.join(PATIENCE)
        assert not self.is_alive()

    def finish(self):
        """Wait until it ends, and return what the call returned, or raise what it raised."""
        self.wait()
        if self.error is not None:
            raise self.error
        return self._result


def at_once(*calls):
    """Run the calls in threads that start together; return what they raised."""
    start = threading.Barrier(len(calls))

    def started(call):
        return lambda: (start.wait(PATIENCE), call())

    threads = [Beside(started(call)) for call in calls]
    for thread in threads:
        thread.wait()
    return [thread.error for thread in threads if thread.error is not None]


class Refused(Exception):
    """What a test ends a transaction with."""


def during(first, second, *, refuse=False):
    """Run ``second`` while the transaction of ``first`` is still open, which then commits, or is rolled back."""
    written = threading.Event()

    def begin():
        with transaction.atomic():
            first()
            written.set()
            # The other one is at the lock by now, or comes to it later: either way it has to wait.
            time.sleep(0.3)
            if refuse:
                raise Refused

    errors = at_once(begin, lambda: (written.wait(PATIENCE), second()))
    assert [type(error) for error in errors] == [Refused] * refuse


def wait_until_blocking():
    """Wait until another connection waits for a lock of this one, on PostgreSQL."""
    end = time.monotonic() + PATIENCE
    with connection.cursor() as cursor:
        waiting = 0
        while not waiting and time.monotonic() < end:
            cursor.execute("SELECT COUNT(*) FROM pg_locks WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))")
            (waiting,) = cursor.fetchone()
    assert waiting


class Lingering:
    """Keeps locks for longer: rests after each statement of a transaction, and notes what the database refused.

    Whatever two transactions want in two orders they then hold in two orders, so that they meet in a circle. What is
    refused is noted although whoever asked may try again.
    """

    def __init__(self, seconds=0.02):
        self.refused = []
        self._seconds = seconds

    def __call__(self, execute, sql, params, many, context):
        try:
            result = execute(sql, params, many, context)
        except OperationalError as error:
            self.refused.append(error)
            raise
        if context["connection"].in_atomic_block:
            time.sleep(self._seconds)
        return result

    def at_once(self, *calls):
        """Run the calls as `at_once` does; return what they raised, after what the database refused."""

        def lingering(call):
            def run():
                with connection.execute_wrapper(self):
                    call()

            return run

        return [*at_once(*map(lingering, calls)), *self.refused]
