"""A queue that runs nothing, for tests and for projects that deliver with ``manage.py webhooks_drain``."""

from __future__ import annotations

from tms_webhooks.queues.base import Queue


class SilentQueue(Queue):
    """Enqueues nothing. Deliveries wait until ``webhooks_drain`` or a test runs a drain."""

    keeps_drains = False

    def enqueue(self, function: str, *args: object) -> None:
        """Do nothing."""

    def schedule(self, *, using: str) -> None:
        """Do nothing."""
