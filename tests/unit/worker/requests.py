"""Requests and results without a database, for endpoint queues."""

from base64 import b64encode
from itertools import count

from tests.conftest import NOW
from tms_webhooks.delivery import outcome
from tms_webhooks.delivery.outgoing import Endpoint, OutgoingRequest, SendResult
from tms_webhooks.models import Webhook, WebhookState
from tms_webhooks.worker.endpoint_queues import EndpointQueues

_keys = count(1)


def a_webhook(key=1, *, state=None, **values):
    """Return a webhook that is not saved, with its state."""
    webhook = Webhook(pk=key, **values)
    webhook.state = WebhookState(webhook=webhook, **(state or {}))
    return webhook


def a_request(webhook_id=1, *, organization="A"):
    """Return a new request to a webhook of an organization."""
    key = next(_keys)
    webhook = a_webhook(webhook_id, organization_id=organization, url=f"https://receiver.example.com/{webhook_id}")
    endpoint = Endpoint(webhook, {}, ["whsec_" + b64encode(b"k" * 32).decode()])
    return OutgoingRequest(key, webhook_id, f"evt_{key}", 1, 0, False, b"{}", endpoint)


def requests(number, webhook_id=1, *, organization="A"):
    return [a_request(webhook_id, organization=organization) for _ in range(number)]


def make_queues(slots=64):
    return EndpointQueues(slots=slots, clock=lambda: NOW)


def queue_of(queues, webhook_id=1):
    return queues._queues[webhook_id]


def read(queues, found, *, concurrency=1, full=()):
    """Add requests as a read returns them, all webhooks with this concurrency; for the full ones more may be due."""
    found = list(found)
    organizations = dict.fromkeys(full) | {one.webhook_id: one.endpoint.webhook.organization_id for one in found}
    queues.lease(organizations)
    for key, organization in organizations.items():
        queue = queue_of(queues, key)
        queue.configure(a_webhook(key, max_in_flight=concurrency, organization_id=organization))
        queue.has_more = [key in full] * 2
    queues.add(found)


def answered(queues, request, *, seconds=0.1, status=200):
    """Note the answer to a request in flight, and return the result."""
    judged = outcome.of_response(status=status, headers={}, now=NOW)
    result = SendResult(request, NOW, seconds, judged, status=status)
    queues.answered(result, seconds)
    return result


def next_ones(queues):
    """Take all requests that may go out now."""
    found = []
    while (request := queues.next()) is not None:
        found.append(request)
    return found
