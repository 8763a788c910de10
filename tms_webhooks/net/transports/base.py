"""The interface of a transport: it sends many requests at a time for one thread that never waits for a receiver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from tms_webhooks.exceptions import DeliveryError
from tms_webhooks.net.client import Request, Response


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


class Transport(Protocol):
    """Sends requests and collects the answers. Used by one thread; created in the process that uses it.

    A transport refuses addresses that are not allowed, connects to the very address that was checked, follows no
    redirects, and ends every exchange within its deadline. `fileno` makes it an argument for a selector.
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

    def timeout(self) -> float | None:
        """Return the seconds after which `collect` has work to do in any case; None if it has none without an event."""
        ...

    def close(self) -> None:
        """End every exchange without an answer, and close every connection."""
        ...
