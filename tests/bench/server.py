"""A receiver that costs next to nothing: one process, one epoll loop, a fixed answer, an optional delay.

Run as ``python -m tests.bench.server [SECONDS]``; it prints its port and serves until its standard input closes.
"""

from __future__ import annotations

import heapq
import select
import socket
import sys
from time import monotonic

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
LENGTH = b"content-length: "


def complete(data: bytes) -> bool:
    """Whether ``data`` holds a whole request."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return False
    lowered = data[:head].lower()
    at = lowered.find(LENGTH)
    length = int(lowered[at + len(LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    return len(data) >= head + 4 + length


def serve(listener: socket.socket, delay: float) -> None:
    """Answer every request after ``delay`` seconds."""
    poll = select.epoll()
    poll.register(listener, select.EPOLLIN)
    poll.register(sys.stdin, select.EPOLLIN)
    peers: dict[int, socket.socket] = {}
    buffers: dict[int, bytes] = {}
    later: list[tuple[float, int]] = []
    while True:
        timeout = max(0.0, later[0][0] - monotonic()) if later else -1
        for number, _event in poll.poll(timeout):
            if number == sys.stdin.fileno():
                return
            if number == listener.fileno():
                peer, _address = listener.accept()
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                peers[peer.fileno()] = peer
                buffers[peer.fileno()] = b""
                poll.register(peer, select.EPOLLIN)
                continue
            data = peers[number].recv(65536)
            if not data:
                poll.unregister(number)
                peers.pop(number).close()
                continue
            buffers[number] += data
            if complete(buffers[number]):
                buffers[number] = b""
                if delay:
                    heapq.heappush(later, (monotonic() + delay, number))
                else:
                    peers[number].send(ANSWER)
        while later and later[0][0] <= monotonic():
            _at, number = heapq.heappop(later)
            if number in peers:
                peers[number].send(ANSWER)


def main() -> None:
    """Listen on a free port of the loopback."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(listener.getsockname()[1], flush=True)
    serve(listener, float(sys.argv[1]) if len(sys.argv) > 1 else 0.0)


if __name__ == "__main__":
    main()
