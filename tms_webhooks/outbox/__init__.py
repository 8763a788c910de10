"""The outbox: records events in the host's transaction, and fans them out to deliveries afterwards."""

from __future__ import annotations

from tms_webhooks.outbox.emit import emit

__all__ = ["emit"]
