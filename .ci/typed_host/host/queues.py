"""A queue of the host's own, which runs nothing."""

from __future__ import annotations

from tms_webhooks.queues import Queue


class HostQueue(Queue):
    """Keeps the calls in a list."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[object, ...]]] = []

    def enqueue(self, function: str, *args: object) -> None:
        """Add a call to the list."""
        self.calls.append((function, args))
