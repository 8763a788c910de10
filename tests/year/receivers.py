"""``python -m tests.year.receivers``: the receivers of all organizations, each with its mirror of docs/howto/mirror.md.

The first line of the standard input is the port, and the folder and the secret of each receiver; it has the host 127.0.1.N.
Each other line is a command and its arguments, in JSON; it prints an answer.
"""

import asyncio
import json
import os
import sqlite3
import sys
from collections import Counter

from standardwebhooks import Webhook, WebhookVerificationError, webhooks

from tests.bench.server import complete
from tests.scenarios.mirror_program import names
from tests.year.clock import Clock

MIRROR = names()
PREPARE = """
PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY, live INTEGER) WITHOUT ROWID;"""
# The object's number is that of its last event; these have no number of their own.
NOT_LIVE = "SELECT COUNT(*), COALESCE(SUM(live), 0) FROM seen"


class Receiver:
    """One organization's: it verifies with the public library, stores each event once, and counts."""

    def __init__(self, host, port, folder, secret):
        self.place, self.status, self.counts = (host, port), 204, Counter()
        self.change_secret(secret)
        self.connections, self._server = set(), None
        self.table = sqlite3.connect(f"{folder}/mirror.sqlite3")
        self.table.executescript(PREPARE)

    def change_secret(self, secret):
        self._verifier = Webhook(secret)

    async def open(self):
        """Listen, and answer with success."""
        self.status = 204
        if self._server is None:
            self._server = await asyncio.get_running_loop().create_server(lambda: Connection(self), *self.place)

    async def close(self):
        """Refuse connections from now on."""
        self._server.close()
        self._server = None
        for one in list(self.connections):
            one.abort()

    def receive(self, headers, body):
        """Return the status of the answer to a request."""
        self.counts["requests"] += 1
        if self.status != 204:
            return self.status
        try:
            event = self._verifier.verify(body, headers)
        except WebhookVerificationError as error:
            self.counts[f"unverified: {error}"] += 1
            return 401
        self.counts[headers["user-agent"]] += 1
        self.counts["bytes"] += len(body)
        is_live = not event["type"].endswith(".snapshot") and not event["type"].startswith("webhook.")
        with self.table:
            new = self.table.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (headers["webhook-id"], is_live))
            self.counts["again"] += not new.rowcount
            MIRROR["handle"](event, self.table)
        return 204


class Connection(asyncio.Protocol):
    """One that is kept alive."""

    def __init__(self, receiver):
        self._receiver, self._buffer, self._transport = receiver, b"", None

    def connection_made(self, transport):
        self._transport = transport
        self._receiver.connections.add(transport)

    def connection_lost(self, _error):
        self._receiver.connections.discard(self._transport)

    def data_received(self, data):
        self._buffer += data
        if complete(self._buffer):
            head, _, body = self._buffer.partition(b"\r\n\r\n")
            self._buffer = b""
            lines = (line.split(": ", 1) for line in head.decode("latin-1").split("\r\n")[1:])
            status = self._receiver.receive({name.lower(): value for name, value in lines}, body)
            length = "" if status == 204 else "content-length: 0\r\n"
            self._transport.write(f"HTTP/1.1 {status} Status\r\n{length}\r\n".encode())


async def obey(receivers, command, number=None, *arguments):
    """Carry a command out; return what is printed."""
    some = receivers if number is None else [receivers[number]]
    for one in some:
        if command == "open":
            await one.open()
        elif command == "close":
            await one.close()
        elif command == "answer":
            (one.status,) = arguments
        elif command == "change_secret":
            one.change_secret(*arguments)
    return [dict(one.counts) for one in receivers]


async def main():
    clock = Clock(os.environ["TMS_YEAR_CLOCK"])
    # The public library compares timestamps with the simulated time.
    webhooks.datetime = type("Simulated", (webhooks.datetime,), {"now": lambda tz: clock.now(tz)})
    lines, loop = asyncio.StreamReader(), asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    port, described = json.loads(await lines.readline())
    receivers = [Receiver(f"127.0.1.{n}", port, *one) for n, one in enumerate(described, start=1)]
    await obey(receivers, "open")
    print(json.dumps(None), flush=True)
    while line := await lines.readline():
        print(json.dumps(await obey(receivers, *json.loads(line))), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
