"""Sockets that keep one wall-clock deadline for a whole exchange.

A socket's own timeout starts anew with every read, so a receiver that drips one byte a second would hold a worker for
ever. These sockets ask the exchange how much time is left before each read and each write.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

from tms_webhooks.net.timing import Marks

if TYPE_CHECKING:
    _Socket = socket.socket
else:
    _Socket = object


class Exchange:
    """One request and its answer: how long it may take, and how far it has come.

    Attributes:
        deadline_at: When it must be over, on the monotonic clock.
        connect_timeout: Longest wait for a connection, in seconds.
        read_timeout: Longest wait for one read or write, in seconds.
        fresh: Whether it must open a connection of its own.
        reused: Whether it runs on a connection that served another exchange before.
        answered: Whether a byte of the answer has arrived.
        ended: Whether the other end has said that nothing more will come.
        marks: When its parts were over.
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
        """Return the same exchange, to be tried again on a new connection; the deadline stays."""
        return Exchange(
            deadline_at=self.deadline_at,
            connect_timeout=self.connect_timeout,
            read_timeout=self.read_timeout,
            secure=self.marks.secure,
            fresh=True,
        )

    def left(self, limit: float | None = None) -> float:
        """Return the seconds that are left, but at most ``limit``. Raise ``TimeoutError`` when none are."""
        left = self.deadline_at - time.monotonic()
        if left <= 0.0:
            raise TimeoutError("the deadline has passed")
        return left if limit is None or left < limit else limit


class _Timed(_Socket):
    """Mixed into a socket class: every read and write is bounded by the exchange that the socket serves."""

    exchange: Exchange

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        exchange = self.exchange
        self.settimeout(exchange.left(exchange.read_timeout))
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
        # The base classes' own loops know nothing of the deadline between two pieces.
        sent = self.send(data, flags)
        if sent == len(data):
            return
        with memoryview(data) as view:
            while sent < len(view):
                sent += self.send(view[sent:], flags)


class TimedSocket(_Timed, socket.socket):
    """A plain socket under the deadline of its exchange."""


class TimedTLSSocket(_Timed, ssl.SSLSocket):
    """An encrypted socket under the deadline of its exchange. Its handshake is bounded by the plain socket's timeout."""
