"""Sockets that keep one wall-clock deadline for a whole exchange.

A socket's own timeout starts again with every read, so a receiver that sends one byte a second could block a worker
forever. These sockets set their timeout to the remaining time before each read and each write.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

from tms_webhooks.net.timing import Marks

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)

if TYPE_CHECKING:
    _Socket = socket.socket
else:
    _Socket = object


def acknowledge_immediately(sock: socket.socket) -> None:
    """Acknowledge the data that has arrived, and the data to come until the kernel decides otherwise (Linux only).

    The kernel delays the acknowledgment by 40 ms. A receiver that writes the head and the body of its answer apart
    waits for it before it sends the body.
    """
    if _QUICKACK is not None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)
        except OSError:
            # The connection is gone; reading from it says how.
            return


class Exchange:
    """The deadline and the progress of one request and its answer.

    Attributes:
        deadline_at: The latest end, on the monotonic clock.
        connect_timeout: Longest wait for a connection, in seconds.
        read_timeout: Longest wait for one read or write, in seconds.
        fresh: True if it must open a new connection.
        reused: True if its connection served another exchange before.
        answered: True once a byte of the answer has arrived.
        ended: True once the receiver has closed its side of the connection.
        marks: The end of each part.
    """

    __slots__ = ("answered", "connect_timeout", "deadline_at", "ended", "fresh", "marks", "read_timeout", "reused")

    def __init__(
        self,
        *,
        deadline_at: float,
        connect_timeout: float,
        read_timeout: float,
        secure: bool = False,
        fresh: bool = False,
    ) -> None:
        self.deadline_at = deadline_at
        self.connect_timeout = connect_timeout
        self.read_timeout = read_timeout
        self.fresh = fresh
        self.reused = False
        self.answered = False
        self.ended = False
        self.marks = Marks(time.monotonic(), secure=secure)

    def on_fresh_connection(self) -> Exchange:
        """Return an exchange with the same deadline that retries on a new connection."""
        return Exchange(
            deadline_at=self.deadline_at,
            connect_timeout=self.connect_timeout,
            read_timeout=self.read_timeout,
            secure=self.marks.secure,
            fresh=True,
        )

    def left(self, limit: float | None = None) -> float:
        """Return the remaining seconds, at most ``limit``. Raise ``TimeoutError`` after the deadline."""
        left = self.deadline_at - time.monotonic()
        if left <= 0.0:
            raise TimeoutError("the deadline has passed")
        return left if limit is None or left < limit else limit


class _Timed(_Socket):
    """Mixin for a socket class: the deadline of the current exchange limits every read and write."""

    exchange: Exchange

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        exchange = self.exchange
        self.settimeout(exchange.left(exchange.read_timeout))
        acknowledge_immediately(self)
        received = super().recv_into(*args, **kwargs)
        if not received:
            exchange.ended = True
        elif not exchange.answered:
            exchange.answered = True
            exchange.marks.answered = time.monotonic()
        return received

    def send(self, *args: Any, **kwargs: Any) -> int:
        exchange = self.exchange
        self.settimeout(exchange.left(exchange.read_timeout))
        return super().send(*args, **kwargs)

    def sendall(self, data: Any, flags: int = 0) -> None:
        # The loops of the base classes don't check the deadline between two pieces.
        sent = self.send(data, flags)
        if sent == len(data):
            return
        with memoryview(data) as view:
            while sent < len(view):
                sent += self.send(view[sent:], flags)


class TimedSocket(_Timed, socket.socket):
    """An unencrypted socket under the deadline of its exchange."""


class TimedTLSSocket(_Timed, ssl.SSLSocket):
    """An encrypted socket under the deadline of its exchange. The timeout of the unencrypted socket bounds its handshake."""
