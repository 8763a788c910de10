"""Servers on loopback that answer as badly as a receiver can."""

import contextlib
import socket
import ssl
import struct
import threading
from dataclasses import dataclass

from tests.patience import PATIENCE

shutdown = socket.socket.shutdown
"""Not that of a socket with TLS, which takes the layer away from the thread that uses it."""


@dataclass(frozen=True)
class Received:
    """One request as it arrived."""

    head: bytes
    body: bytes

    @property
    def lines(self):
        return self.head.decode("latin-1").split("\r\n")

    @property
    def headers(self):
        return dict(line.split(": ", maxsplit=1) for line in self.lines[1:])


class Visit:
    """One accepted connection, in the hands of its handler."""

    def __init__(self, sock, server):
        self.sock = sock
        self.server = server
        self.unread = b""

    def read(self):
        """Read one request; None when the client has closed the connection."""
        while b"\r\n\r\n" not in self.unread:
            if not self._more():
                return None
        head, _, self.unread = self.unread.partition(b"\r\n\r\n")
        received = Received(head, b"")
        length = int(received.headers.get("content-length", "0"))
        while len(self.unread) < length:
            if not self._more():
                return None
        body, self.unread = self.unread[:length], self.unread[length:]
        received = Received(head, body)
        self.server.requests.append(received)
        return received

    def _more(self):
        data = self.sock.recv(65_536)
        self.unread += data
        return bool(data)

    def write(self, data):
        self.sock.sendall(data)

    def hang(self):
        """Do nothing until the test is over."""
        self.server.over.wait(2 * PATIENCE)

    def reset(self):
        """Break the connection with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Server:
    """A TCP server on loopback: one thread per connection, each running the handler."""

    def __init__(self, handler, *, tls=None, receive_buffer=0):
        self.handler = handler
        self.tls = tls
        self.accepted = 0
        self.requests = []
        self.over = threading.Event()
        self.threads = []
        self.sockets = []
        self.listener = socket.socket()
        if receive_buffer:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(64)
        self.port = self.listener.getsockname()[1]
        self._start(self._accept)

    def url(self, target="/hook", *, host="127.0.0.1"):
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}{target}"

    def stop(self):
        """Accept no more, and end what is being read and written."""
        self.over.set()
        for sock in [self.listener, *self.sockets]:
            with contextlib.suppress(OSError):
                shutdown(sock, socket.SHUT_RDWR)

    def close(self):
        """Stop, and wait until every thread has ended."""
        self.stop()
        self.listener.close()
        for thread in self.threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _start(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self):
        while not self.over.is_set():
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            sock.settimeout(2 * PATIENCE)
            self._start(self._serve, sock)

    def _serve(self, sock):
        with contextlib.suppress(OSError):
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
            self.sockets.append(sock)
            if self.over.is_set():
                return
            if isinstance(sock, ssl.SSLSocket):
                sock.do_handshake()
            self.handler(Visit(sock, self))
        sock.close()


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


def reply(body=b"ok", *, status="200 OK", headers=None):
    """Return an answer with a content-length."""
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def answering(*answers):
    """Make a handler that gives these answers one after the other, then repeats the last; it keeps the connection."""

    def handle(visit):
        number = 0
        while visit.read() is not None:
            visit.write(answers[min(number, len(answers) - 1)])
            number += 1

    return handle


def once(answer):
    """Make a handler that reads one request, writes these bytes and closes the connection."""

    def handle(visit):
        visit.read()
        visit.write(answer)

    return handle


def endlessly(beginning, piece, *, every=0.0):
    """Make a handler that answers with the beginning, and then with the piece until the client has had enough.

    It writes a piece in ``every`` so many seconds, or as many as the client reads.
    """

    def handle(visit):
        visit.read()
        visit.write(beginning)
        pieces = piece if every else piece * (65_536 // len(piece))
        while not visit.server.over.wait(every):
            visit.write(pieces)

    return handle


def never_answers(visit):
    """Read a request, and hang."""
    visit.read()
    visit.hang()


def resets_within_body(visit):
    """Break the connection with RST when half of the body was sent."""
    visit.read()
    visit.write(OK + b"content-length: 100\r\n\r\nhalf")
    visit.server.over.wait(0.05)
    visit.reset()
