"""Parcels without a database, and a look at the priorities that hold them."""

from __future__ import annotations

from base64 import b64encode
from itertools import count

from tms_webhooks.delivery.outgoing import Endpoint, OutgoingRequest
from tms_webhooks.worker.endpoint_queues import EndpointQueues

_keys = count(1)


def outgoing(webhook_id: int = 1, *, cap: int = 1) -> OutgoingRequest:
    """Make a outgoing of a webhook to which ``cap`` may be sent at once."""
    key = next(_keys)
    route = Endpoint(
        webhook_id=webhook_id,
        verb="POST",
        url=f"https://receiver.example.com/{webhook_id}",
        headers={},
        secrets=["whsec_" + b64encode(b"k" * 32).decode()],
        timeout=20.0,
        schedule="",
        max_retries=None,
        cap=cap,
    )
    return OutgoingRequest(key, f"evt_{key}", 1, 0, False, b"{}", route)


def outgoing_requests(number: int, webhook_id: int = 1, *, cap: int = 1) -> list[OutgoingRequest]:
    return [outgoing(webhook_id, cap=cap) for _ in range(number)]


def is_empty(priorities: EndpointQueues) -> bool:
    """Tell whether nobody would be given anything now."""
    return not priorities._ready
