"""Requests and results without a database, for endpoint queues."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from itertools import count

from tms_webhooks.delivery import outcome
from tms_webhooks.delivery.outgoing import Endpoint, OutgoingRequest, SendResult
from tms_webhooks.models import Webhook, WebhookState
from tms_webhooks.worker.endpoint_queues import EndpointQueue, EndpointQueues

NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)

_keys = count(1)


def a_webhook(key: int = 1, *, state: dict[str, object] | None = None, **values: object) -> Webhook:
    """Return a webhook that is not saved, with its state."""
    webhook = Webhook(pk=key, **values)
    webhook.state = WebhookState(webhook=webhook, **(state or {}))
    return webhook


def a_request(webhook_id: int = 1, *, organization: object = "A") -> OutgoingRequest:
    """Return a new request to a webhook of an organization."""
    key = next(_keys)
    webhook = a_webhook(webhook_id, organization_id=organization, url=f"https://receiver.example.com/{webhook_id}")
    endpoint = Endpoint(webhook, {}, ["whsec_" + b64encode(b"k" * 32).decode()])
    return OutgoingRequest(key, webhook_id, f"evt_{key}", 1, 0, False, b"{}", endpoint)


def requests(number: int, webhook_id: int = 1, *, organization: object = "A") -> list[OutgoingRequest]:
    return [a_request(webhook_id, organization=organization) for _ in range(number)]


def make_queues(slots: int = 64) -> EndpointQueues:
    return EndpointQueues(slots=slots, clock=lambda: NOW)


def queue_of(queues: EndpointQueues, webhook_id: int = 1) -> EndpointQueue:
    return queues._queues[webhook_id]


def read(
    queues: EndpointQueues, found: Iterable[OutgoingRequest], *, concurrency: int = 1, full: Collection[int] = ()
) -> None:
    """Add requests as a read returns them, all webhooks with this concurrency; for the full ones more may be due."""
    found = list(found)
    organizations = dict.fromkeys(full) | {one.webhook_id: one.endpoint.webhook.organization_id for one in found}
    queues.lease(organizations)
    for key, organization in organizations.items():
        queue = queue_of(queues, key)
        queue.configure(a_webhook(key, max_in_flight=concurrency, organization_id=organization))
        queue.has_more = [key in full] * 2
    queues.add(found)


def answered(
    queues: EndpointQueues, request: OutgoingRequest, *, seconds: float = 0.1, status: int = 200
) -> SendResult:
    """Note the answer to a request in flight, and return the result."""
    judged = outcome.of_response(status=status, headers={}, now=NOW)
    result = SendResult(request, NOW, seconds, judged, status=status)
    queues.answered(result, seconds)
    return result


def next_ones(queues: EndpointQueues) -> list[OutgoingRequest]:
    """Take all requests that may go out now."""
    found = []
    while (request := queues.next()) is not None:
        found.append(request)
    return found
