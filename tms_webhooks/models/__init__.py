"""The tables of this app. Rows change through methods of their own; querysets have a method for each filter."""

from __future__ import annotations

from tms_webhooks.models.attempt import DeliveryAttempt
from tms_webhooks.models.audit import AuditEntry
from tms_webhooks.models.delivery import Delivery, DeliveryBody
from tms_webhooks.models.drain import DrainSlot, PeriodicRun
from tms_webhooks.models.event import Event, EventSequence, FanOutFailure, FeedEnds, KeptPayload, PruneCursor
from tms_webhooks.models.idempotency import IdempotentRequest
from tms_webhooks.models.job import Job
from tms_webhooks.models.notification import Notification
from tms_webhooks.models.occurrence import FirstOccurrence, Occurrence, ScanCursor
from tms_webhooks.models.source_state import OwnerlessObject, Reconciliation, SourceState
from tms_webhooks.models.subscription import Subscription
from tms_webhooks.models.total import DeliveryTotal
from tms_webhooks.models.webhook import Webhook, WebhookSecret, WebhookState

__all__ = [
    "AuditEntry",
    "Delivery",
    "DeliveryAttempt",
    "DeliveryBody",
    "DeliveryTotal",
    "DrainSlot",
    "Event",
    "EventSequence",
    "FanOutFailure",
    "FeedEnds",
    "IdempotentRequest",
    "FirstOccurrence",
    "Job",
    "KeptPayload",
    "Notification",
    "Occurrence",
    "PruneCursor",
    "ScanCursor",
    "PeriodicRun",
    "Reconciliation",
    "Subscription",
    "OwnerlessObject",
    "SourceState",
    "Webhook",
    "WebhookSecret",
    "WebhookState",
]
