"""The transports: how requests leave. `new_transport` chooses one."""

from __future__ import annotations

from tms_webhooks.net.transports.base import Transport
from tms_webhooks.net.transports.threads import ThreadTransport


def new_transport() -> Transport:
    """Return a new transport."""
    return ThreadTransport()
