"""The interface of a transport: it sends many requests at a time for one thread that never waits for a receiver."""

from __future__ import annotations

import re
import socket
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from tms_webhooks.choices import ErrorClass
from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net.timing import Timing
from tms_webhooks.net.urls import SafeURL

IDLE_LIMIT = 30.0
"""Seconds. Firewalls drop idle connections silently, and the next request on such a connection would hang."""

HEADERS_LIMIT = 100
"""Number of header lines that an answer may have."""
LINE_LIMIT = 65_536
"""Bytes of a header line of an answer."""

FRAMING_HEADERS = frozenset(
    {
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that belong to the connection. A caller that sets one could smuggle a second request into the first."""

BODILESS_METHODS = frozenset({"GET", "DELETE", "OPTIONS"})
"""Methods that need no ``content-length`` where they have no body."""

T = TypeVar("T")

_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


@dataclass(slots=True)
class Request:
    """One request, to the byte. ``repr`` shows neither headers nor body: error reporters print the variables of frames.

    Attributes:
        method: The HTTP method.
        url: The target; checked again when the request is sent.
        headers: Sent as they are; the transport adds only the headers that frame the message.
        body: The exact bytes that were signed.
        deadline: Seconds that the whole exchange may take, from looking up the name to the last byte read.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    deadline: float


class Response(NamedTuple):
    """The answer of the receiver.

    Attributes:
        status: The HTTP status; redirects are not followed.
        headers: Names in lower case; the values of a repeated header joined by a comma.
        body: At most ``RESPONSE_LIMIT_BYTES`` bytes, not decompressed.
        truncated: True if the body was longer.
        timing: The seconds of each part.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool
    timing: Timing = Timing()


class Answer(NamedTuple):
    """The end of one exchange: the receiver's response, or the error that ended it.

    Attributes:
        key: The caller's own mark of the request.
        result: The response, whatever its status; or the error.
        seconds: How long the exchange took, from `Transport.start` on.
    """

    key: Any
    result: Response | DeliveryError
    seconds: float


class ThreadQueue(Generic[T]):
    """Passes items of threads to the one that selects on it."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)

    def put(self, item: T) -> None:
        """Add an item. Called by any thread."""
        self._items.append(item)
        # A full buffer is readable already; a closed socket belongs to a closed transport.
        with suppress(OSError):
            self._writer.send(b"1")

    def take(self) -> list[T]:
        """Return the items so far."""
        # First: an item that is added from now on makes the socket readable again.
        with suppress(BlockingIOError):
            self._reader.recv(4096)
        return [self._items.popleft() for _ in range(len(self._items))]

    def fileno(self) -> int:
        """Return a file descriptor that is readable when there are items."""
        return self._reader.fileno()

    def close(self) -> None:
        """Close the sockets."""
        self._reader.close()
        self._writer.close()


class Transport(Protocol):
    """Sends requests and collects the answers. Used by one thread; created in the process that uses it.

    A transport refuses addresses that are not allowed, and connects to the exact address that was checked. It follows
    no redirects, and ends every exchange within its deadline. `fileno` makes it an argument for a selector.
    """

    capacity: int
    """The number of exchanges that it can have in flight."""

    def start(self, request: Request, key: Any) -> None:
        """Begin an exchange. Never blocks and never raises: `collect` returns all errors."""
        ...

    def collect(self) -> Sequence[Answer]:
        """Advance all exchanges, and return those that have ended. Does not block."""
        ...

    def fileno(self) -> int:
        """Return a file descriptor that is readable when `collect` has work to do."""
        ...

    def timeout(self) -> float:
        """Return the seconds after which `collect` has work to do in any case; infinity if it has none without an event."""
        ...

    def close(self) -> None:
        """End every exchange without an answer, and close every connection."""
        ...


def acknowledge_immediately(sock: socket.socket) -> None:
    """Acknowledge the data that has arrived, and the data to come until the kernel decides otherwise (Linux only).

    The kernel delays the acknowledgment by 40 ms. A receiver that writes the head and the body of its answer apart
    waits for it before it sends the body.
    """
    if _QUICKACK is not None:
        # A connection that is gone: reading from it says how.
        with suppress(OSError):
            sock.setsockopt(socket.IPPROTO_TCP, _QUICKACK, 1)


def final_headers(request: Request, safe: SafeURL) -> dict[str, str]:
    """Return all headers of a request in the order in which they are sent, those of the frame first.

    Raises `DeliveryError` for a method or a header that would break the frame.
    """
    # An answer to HEAD is read in another way, and no webhook needs it.
    if not _TOKEN.fullmatch(request.method) or request.method == "HEAD":
        raise DeliveryError(
            f"the method {request.method!r} can't be sent", error_class=ErrorClass.OTHER, permanent=True
        )
    headers = {"host": safe.host_header, "accept-encoding": "identity"}
    if request.body or request.method not in BODILESS_METHODS:
        headers["content-length"] = str(len(request.body))
    for name, value in request.headers.items():
        if not _may_be_set(name) or not _VALUE.fullmatch(value):
            raise DeliveryError(f"the header {name!r} can't be sent", error_class=ErrorClass.OTHER, permanent=True)
        if name.lower() != "accept-encoding":
            headers[name] = value.strip("\t ")
    return headers


@lru_cache(maxsize=1024)
def _may_be_set(name: str) -> bool:
    return name.lower() not in FRAMING_HEADERS and _TOKEN.fullmatch(name) is not None
