"""A receiver that costs next to nothing: one process, one epoll loop, a fixed answer, an optional delay.

Run as ``python -m tests.bench.server [SECONDS [STATUS [arrivals]]]``; it prints its port and serves until its standard input
closes. With ``arrivals`` it then prints a line for each request: its webhook-id, and when it came by `time.monotonic`,
which all processes of a machine share.
"""

from __future__ import annotations

import heapq
import select
import socket
import sys
from time import monotonic

ANSWER = "HTTP/1.1 {status} Status\r\ncontent-length: 0\r\n\r\n"
LENGTH = b"content-length: "
ID = b"webhook-id: "


def complete(data: bytes) -> bool:
    """Whether ``data`` holds a whole request."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return False
    lowered = data[:head].lower()
    at = lowered.find(LENGTH)
    length = int(lowered[at + len(LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0
    return len(data) >= head + 4 + length


def message_id(request: bytes) -> str:
    """Return the webhook-id of a request."""
    _, _, rest = request.lower().partition(ID)
    return rest.split(b"\r\n", 1)[0].decode()


def serve(
    listener: socket.socket, answer: bytes, delay: float, arrivals: list[tuple[float, bytes]] | None = None
) -> None:
    """Give every request this answer after ``delay`` seconds; note in ``arrivals`` when each came."""
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
                if arrivals is not None:
                    arrivals.append((monotonic(), buffers[number]))
                buffers[number] = b""
                heapq.heappush(later, (monotonic() + delay, number))
        while later and later[0][0] <= monotonic():
            _at, number = heapq.heappop(later)
            if number in peers:
                peers[number].send(answer)


def main() -> None:
    """Listen on a free port of the loopback."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    print(listener.getsockname()[1], flush=True)
    arrivals: list[tuple[float, bytes]] | None = [] if "arrivals" in sys.argv else None
    delay = sys.argv[1] if len(sys.argv) > 1 else "0"
    status = sys.argv[2] if len(sys.argv) > 2 else "200"
    serve(listener, ANSWER.format(status=status).encode(), float(delay), arrivals)
    for moment, request in arrivals or ():
        print(message_id(request), moment)


if __name__ == "__main__":
    main()
