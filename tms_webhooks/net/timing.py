"""Where the time of one exchange went."""

from __future__ import annotations

from dataclasses import dataclass

NOTHING = "////"


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of each part of an exchange; None for a part that it had not, or did not come to.

    Attributes:
        dns: Finding the addresses of the host. None, as the next two, on a connection that was kept from before.
        connect: Opening a connection to one of them.
        tls: Agreeing on encryption.
        wait: From there to the first byte of the answer: the request on its way, and the receiver at work.
        read: Reading the rest of it.
    """

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    wait: float | None = None
    read: float | None = None

    def as_text(self) -> str:
        """Return the parts in whole milliseconds, to be kept: "2/11//118/0"; nothing where there are none."""
        parts = (self.dns, self.connect, self.tls, self.wait, self.read)
        text = "/".join(["" if part is None else str(round(part * 1000)) for part in parts])
        return text if text != NOTHING else ""

    @classmethod
    def of_text(cls, text: str) -> Timing:
        """Return what `as_text` has kept."""
        return cls(*(int(part) / 1000 if part else None for part in (text or NOTHING).split("/")))


class Marks:
    """The moments between the parts of an exchange, on the monotonic clock; None for those that it did not come to."""

    __slots__ = ("answered", "connected", "ready", "resolved", "secure", "started")

    def __init__(self, started: float, *, secure: bool) -> None:
        self.started = started
        self.secure = secure
        self.resolved: float | None = None
        self.connected: float | None = None
        self.ready: float | None = None
        self.answered: float | None = None

    def timing(self, ended: float) -> Timing:
        """Return the parts of an exchange that ended at ``ended``; the one that it ended in counts up to there."""
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
