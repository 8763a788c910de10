"""A receiver that costs next to nothing: one process, one epoll loop, a fixed answer, an optional delay.

Run as ``python -m tests.bench.server [--delay SECONDS] [--status STATUS] …``; it prints its port and serves until its
standard input closes. Then it prints one JSON object: ``peak``, the most requests that waited for their answer at the
same time, and ``arrivals``, when each webhook-id first came by `time.monotonic`, which all processes of a machine share.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import sys
from collections import deque
from time import monotonic

LENGTH = b"content-length: "
ID = b"webhook-id: "
BACKLOG = 4096


class Peer:
    """One connection: its socket, the bytes of its unfinished request, and whether it waits for an answer."""

    __slots__ = ("buffer", "socket", "waits")

    def __init__(self, peer):
        self.socket = peer
        self.buffer = b""
        self.waits = False


class Server:
    """Answers each request ``delay`` seconds after it came: with ``one_at_a_time``, after the ones before it as well.

    ``answer`` is written part by part. With ``nagle``, the kernel holds a part back until the last one is acknowledged.
    """

    def __init__(
        self,
        answer,
        *,
        delay=0.0,
        one_at_a_time=False,
        nagle=False,
        notes_arrivals=False,
    ):
        self.peak = 0
        self.arrivals = {}
        self._answer = answer
        self._delay = delay
        self._one_at_a_time = one_at_a_time
        self._nagle = nagle
        self._notes_arrivals = notes_arrivals
        self._waiting = 0
        self._peers = {}
        # In the order of their times, as the delay is always the same.
        self._later = deque()

    def serve(self, listener):
        """Serve until the standard input closes."""
        poll = select.epoll()
        poll.register(listener, select.EPOLLIN)
        poll.register(sys.stdin, select.EPOLLIN)
        while True:
            timeout = max(0.0, self._later[0][0] - monotonic()) if self._later else -1
            for number, _event in poll.poll(timeout):
                if number == sys.stdin.fileno():
                    return
                if number == listener.fileno():
                    self._accept(listener, poll)
                else:
                    self._read(number)
            self._answer_due()

    def _accept(self, listener, poll):
        peer, _address = listener.accept()
        if not self._nagle:
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._peers[peer.fileno()] = Peer(peer)
        poll.register(peer, select.EPOLLIN)

    def _read(self, number):
        peer = self._peers[number]
        try:
            data = peer.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        if not data:
            self._waiting -= peer.waits
            peer.waits = False
            # Closing it takes it out of the poll as well.
            self._peers.pop(number).socket.close()
            return
        peer.buffer += data
        if complete(peer.buffer):
            self._take(peer)

    def _take(self, peer):
        now = monotonic()
        if self._notes_arrivals:
            self.arrivals.setdefault(message_id(peer.buffer), now)
        peer.buffer = b""
        peer.waits = True
        self._waiting += 1
        self.peak = max(self.peak, self._waiting)
        begins_at = max(now, self._later[-1][0]) if self._one_at_a_time and self._later else now
        self._later.append((begins_at + self._delay, peer))

    def _answer_due(self):
        while self._later and self._later[0][0] <= monotonic():
            _at, peer = self._later.popleft()
            if not peer.waits:
                continue
            peer.waits = False
            self._waiting -= 1
            try:
                for part in self._answer:
                    peer.socket.send(part)
            except ConnectionError:
                # The next read notices as well, and closes the connection.
                continue


def complete(data):
    """Whether ``data`` holds a whole request."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return False
    lowered = data[:head].lower()
    at = lowered.find(LENGTH)
    length = int(lowered[at + len(LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    return len(data) >= head + 4 + length


def message_id(request):
    """Return the webhook-id of a request."""
    _, _, rest = request.lower().partition(ID)
    return rest.split(b"\r\n", 1)[0].decode()


def main():
    """Listen on a free port of the loopback."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.server")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds")
    parser.add_argument("--status", type=int, default=200)
    parser.add_argument("--one-at-a-time", action="store_true", help="a request waits until those before it are done")
    parser.add_argument(
        "--two-writes", action="store_true", help="write head and body apart, with Nagle's algorithm on"
    )
    parser.add_argument("--arrivals", action="store_true", help="note when each webhook-id first came")
    options = parser.parse_args()
    body = b"ok" if options.two_writes else b""
    # An answer of 204 has neither a body nor its length.
    length = "" if options.status == 204 else f"content-length: {len(body)}\r\n"
    head = f"HTTP/1.1 {options.status} Status\r\n{length}\r\n".encode()
    server = Server(
        [head, body] if body else [head],
        delay=options.delay,
        one_at_a_time=options.one_at_a_time,
        nagle=options.two_writes,
        notes_arrivals=options.arrivals,
    )
    listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
    print(listener.getsockname()[1], flush=True)
    server.serve(listener)
    print(json.dumps({"peak": server.peak, "arrivals": server.arrivals}))


if __name__ == "__main__":
    main()
