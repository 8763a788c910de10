"""Requests without a database, for endpoint queues and sender pools."""

from __future__ import annotations

from base64 import b64encode
from itertools import count

from tms_webhooks.delivery.outgoing import Endpoint, OutgoingRequest
from tms_webhooks.worker.endpoint_queues import EndpointQueues

_keys = count(1)


def a_request(webhook_id: int = 1, *, concurrency: int = 1) -> OutgoingRequest:
    """Return a new request to a webhook that may get ``concurrency`` at once."""
    key = next(_keys)
    endpoint = Endpoint(
        webhook_id=webhook_id,
        verb="POST",
        url=f"https://receiver.example.com/{webhook_id}",
        headers={},
        secrets=["whsec_" + b64encode(b"k" * 32).decode()],
        timeout=20.0,
        schedule="",
        max_retries=None,
        concurrency=concurrency,
    )
    return OutgoingRequest(key, f"evt_{key}", 1, 0, False, b"{}", endpoint)


def requests(number: int, webhook_id: int = 1, *, concurrency: int = 1) -> list[OutgoingRequest]:
    return [a_request(webhook_id, concurrency=concurrency) for _ in range(number)]


def is_empty(queues: EndpointQueues) -> bool:
    """Return whether no thread would get a request now."""
    return not queues._ready
