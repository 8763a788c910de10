"""The duration of each part of one exchange, and its compact text for storage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

NOTHING = "////"
"""The text of an exchange without any measured part."""


class Timing(NamedTuple):
    """Seconds of each part of an exchange; None for a part that it did not have or did not reach.

    Attributes:
        dns: Resolving the host. On a reused connection, this part and the next two are None.
        connect: Opening the TCP connection.
        tls: The TLS handshake.
        wait: From then to the first byte of the answer: network time plus the work of the receiver.
        read: Reading the rest of the answer.
    """

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    wait: float | None = None
    read: float | None = None

    def as_text(self) -> str:
        """Return the parts in whole milliseconds, such as "2/11//118/0"; "" if all are None."""
        text = "/".join(["" if part is None else str(round(part * 1000)) for part in self])
        return text if text != NOTHING else ""

    @classmethod
    def of_text(cls, text: str) -> Timing:
        """Return the timing of a text that `as_text` returned."""
        return cls(*(int(part) / 1000 if part else None for part in (text or NOTHING).split("/")))


@dataclass(slots=True)
class Marks:
    """The times between the parts of an exchange, on the monotonic clock; None for a part that it has not reached."""

    started: float
    secure: bool
    resolved: float | None = None
    connected: float | None = None
    ready: float | None = None
    answered: float | None = None

    def timing(self, ended: float) -> Timing:
        """Return the parts of an exchange that ended at ``ended``; its last part lasts until then."""
        if self.resolved is None and self.ready is None:
            return Timing(dns=ended - self.started)
        dns = connect = tls = None
        if self.resolved is not None:
            dns = self.resolved - self.started
            connect = (self.connected or ended) - self.resolved
            if self.connected is not None and self.secure:
                tls = (self.ready or ended) - self.connected
        if self.ready is None:
            return Timing(dns, connect, tls)
        wait = (self.answered or ended) - self.ready
        return Timing(dns, connect, tls, wait, None if self.answered is None else ended - self.answered)
