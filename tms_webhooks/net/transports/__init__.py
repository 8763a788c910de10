"""The transports: how requests leave. `new_transport` chooses one."""

from __future__ import annotations

import os

from tms_webhooks.net.transports.base import Transport
from tms_webhooks.net.transports.threads import ThreadTransport


def new_transport() -> Transport:
    """Return a new transport."""
    if os.environ.get("TMPCURL"):
        from tms_webhooks.net.transports.curl import CurlTransport

        return CurlTransport()
    return ThreadTransport()
