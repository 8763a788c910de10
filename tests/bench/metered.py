"""A process that measures itself: ``python -m tests.bench.metered serve`` or ``… drain``.

``serve`` answers the requests of the example project, one after the other, and prints its port first; ``drain`` delivers
webhooks. Each SIGUSR1 notes the figures so far. SIGTERM ends the process; its last line is JSON: the notes.
"""

from __future__ import annotations

import json
import signal
import sys
from threading import Thread
from time import perf_counter, process_time

import django
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created


class Meter:
    """Adds up the requests, and the time of statements and commits, and reads the CPU time of this process."""

    def __init__(self):
        self.requests = 0
        self.seconds = 0.0

    def install(self):
        """Measure all connections that open from now on."""
        connection_created.connect(self._watch)
        commit = BaseDatabaseWrapper._commit

        def timed(connection):
            start = perf_counter()
            commit(connection)
            self.seconds += perf_counter() - start

        BaseDatabaseWrapper._commit = timed  # type: ignore[method-assign]

    def figures(self):
        """Return the figures so far: times are in milliseconds."""
        return {
            "requests": self.requests,
            "database": self.seconds * 1000,
            "cpu": process_time() * 1000,
        }

    def _watch(self, connection, **_arguments):
        if self._timed not in connection.execute_wrappers:
            connection.execute_wrappers.append(self._timed)

    def _timed(self, execute, *arguments):
        start = perf_counter()
        try:
            return execute(*arguments)
        finally:
            self.seconds += perf_counter() - start


def difference(after, before):
    """Return the figures of the time between two notes."""
    return {name: value - before[name] for name, value in after.items()}


def serve(meter):
    """Serve until SIGTERM comes."""
    from wsgiref.simple_server import WSGIRequestHandler, make_server

    from example_project.wsgi import application

    class Handler(WSGIRequestHandler):
        def log_message(self, *_arguments):
            """Count the request."""
            meter.requests += 1

    with make_server("127.0.0.1", 0, application, handler_class=Handler) as server:
        print(server.server_address[1], flush=True)
        # An exception would be lost in the request that is being answered. `shutdown` waits for the loop, in a thread.
        signal.signal(signal.SIGTERM, lambda *_: Thread(target=server.shutdown).start())
        server.serve_forever()


def drain(_meter):
    """Deliver until SIGTERM comes."""
    from django.core.management import call_command

    call_command("webhooks_drain")


def main(way):
    """Work until SIGTERM comes, and print the notes."""
    meter, notes = Meter(), []
    meter.install()
    signal.signal(signal.SIGUSR1, lambda *_: notes.append(meter.figures()))
    django.setup()
    try:
        way(meter)
    finally:
        print(json.dumps(notes), flush=True)


if __name__ == "__main__":
    main({"serve": serve, "drain": drain}[sys.argv[1]])
