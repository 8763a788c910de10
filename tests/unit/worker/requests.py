"""Requests and results without a database, for endpoint queues."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from itertools import count

from tms_webhooks.delivery import outcome
from tms_webhooks.delivery.outgoing import Endpoint, OutgoingRequest, SendResult
from tms_webhooks.worker.concurrency import Capacity
from tms_webhooks.worker.endpoint_queues import EndpointQueues

NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)

_keys = count(1)


def a_request(webhook_id: int = 1, *, organization: object = "A") -> OutgoingRequest:
    """Return a new request to a webhook of an organization."""
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
        organization_id=organization,
    )
    return OutgoingRequest(key, f"evt_{key}", 1, 0, False, b"{}", endpoint)


def requests(number: int, webhook_id: int = 1, *, organization: object = "A") -> list[OutgoingRequest]:
    return [a_request(webhook_id, organization=organization) for _ in range(number)]


def claimed(
    queues: EndpointQueues,
    found: Iterable[OutgoingRequest],
    *,
    concurrency: int = 1,
    full: Collection[int] = (),
    allowed_in: float = 0.0,
) -> None:
    """Add requests as a claim returns them, all webhooks with this concurrency; for the full ones more may be due."""
    found = list(found)
    capacity = Capacity(concurrency, free=concurrency, free_replays=1, allowed_in=allowed_in)
    keys = {request.webhook_id for request in found} | set(full)
    queues.claimed(found, dict.fromkeys(keys, capacity), full)


def answered(queues: EndpointQueues, request: OutgoingRequest, *, seconds: float = 0.1, status: int = 200) -> None:
    """Note the answer to a request in flight."""
    judged = outcome.of_response(status=status, headers={}, now=NOW)
    queues.answered(SendResult(request, NOW, seconds, judged, status=status), seconds)


def next_ones(queues: EndpointQueues) -> list[OutgoingRequest]:
    """Take all requests that may go out now."""
    found = []
    while (request := queues.next()) is not None:
        found.append(request)
    return found
