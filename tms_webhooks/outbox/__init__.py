"""Events on their way from the host's transaction to the deliveries."""

from __future__ import annotations

from tms_webhooks.outbox.emit import emit

__all__ = ["emit"]
