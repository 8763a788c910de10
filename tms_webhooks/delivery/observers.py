"""Who watches attempts from their beginning to their end, as tracing has to. Without any, this costs nothing.

What came of an attempt and was written down is told by the signal ``attempt_recorded``; that is enough for counting.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from tms_webhooks.delivery.outgoing import Parcel

if TYPE_CHECKING:
    from tms_webhooks.delivery.outgoing import Result

logger = logging.getLogger(__name__)


class Observation(Protocol):
    """One attempt, watched. Made just before it, in the thread that makes it."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What to send along. A header of the app's own, or one that the webhook sets itself, takes its place."""
        ...

    def end(self, result: Result) -> None:
        """Learn what came of it; called in the same thread, before it is written down."""
        ...


observers: list[Callable[[Parcel], Observation]] = []
"""Called with each parcel that is about to be sent. What one of them raises is logged, and the parcel is sent."""


def begin(parcel: Parcel) -> list[Observation]:
    """Let everybody who watches know that an attempt begins."""
    watching = []
    for observe in observers:
        try:
            watching.append(observe(parcel))
        except Exception:
            logger.exception("An observer failed at the beginning of an attempt.")
    return watching


def headers_of(watching: Sequence[Observation], *, taken: Iterable[str]) -> dict[str, str]:
    """Return what is to be sent along, but for the names that are ``taken``, in whatever case."""
    headers: dict[str, str] = {}
    if not watching:
        return headers
    for observation in watching:
        try:
            headers |= {name.lower(): value for name, value in observation.headers.items()}
        except Exception:
            logger.exception("An observer's headers can't be read.")
    for name in taken:
        headers.pop(name.lower(), None)
    return headers


def end(watching: Iterable[Observation], result: Result) -> None:
    """Let everybody who watches know what came of the attempt."""
    for observation in watching:
        try:
            observation.end(result)
        except Exception:
            logger.exception("An observer failed at the end of an attempt.")
