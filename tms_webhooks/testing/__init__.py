"""For the tests of a host project: assert which events its changes emit, and which requests a receiver gets.

With pytest, these are available as fixtures without any set-up: ``webhook_events``, ``webhook_receiver``, ``deliver_webhooks``.
See docs/howto/test.md.
"""

from __future__ import annotations

from tms_webhooks.testing.events import (
    CapturedEvent,
    CapturedEvents,
    assert_event,
    assert_no_event,
    capture_events,
    expire,
)
from tms_webhooks.testing.receiver import (
    DeliverWebhooks,
    WebhookReceiver,
    assert_not_received,
    assert_received,
    deliver_now,
)

__all__ = [
    "CapturedEvent",
    "CapturedEvents",
    "DeliverWebhooks",
    "WebhookReceiver",
    "assert_event",
    "assert_no_event",
    "assert_not_received",
    "assert_received",
    "capture_events",
    "deliver_now",
    "expire",
]
