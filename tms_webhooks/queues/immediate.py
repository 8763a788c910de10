"""A queue without workers, for tests and for projects that run the drain by a command."""

from __future__ import annotations

from collections.abc import Sequence

from tms_webhooks.queues.base import Periodic, Queue


class SilentQueue(Queue):
    """Rings nothing. Deliveries wait until a drain is run: by ``webhooks_drain``, or by hand."""

    keeps_drains = False

    def enqueue(self, function: str, *args: object) -> None:
        """Do nothing."""

    def every(self, jobs: Sequence[Periodic], *, using: str) -> None:
        """Do nothing."""
