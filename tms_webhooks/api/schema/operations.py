"""What each action takes and answers: a line for every one there is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tms_webhooks.api.schema import shapes
from tms_webhooks.api.schema.parameters import GROUP, VERSION, of_feed, of_pages
from tms_webhooks.api.schema.shapes import Schema
from tms_webhooks.api.serializers import requests
from tms_webhooks.api.serializers.audit import AuditEntrySerializer
from tms_webhooks.api.serializers.deliveries import AttemptSerializer, DeliverySerializer, WholeDeliverySerializer
from tms_webhooks.api.serializers.events import EventSerializer
from tms_webhooks.api.serializers.jobs import JobSerializer
from tms_webhooks.api.serializers.subscriptions import SubscriptionSerializer
from tms_webhooks.api.serializers.trials import TrialSerializer
from tms_webhooks.api.serializers.webhooks import WebhookSerializer

NOTHING = None


class WebhookChangesSerializer(WebhookSerializer):
    """What can be changed of a webhook that is there."""

    def get_fields(self) -> dict[str, Any]:
        """Leave out what is set once."""
        return {name: field for name, field in super().get_fields().items() if name not in self.Meta.set_once}


@dataclass(frozen=True, slots=True)
class Operation:
    """One action.

    ``answers`` are serializers or schemas by status; ``wrapped`` makes another schema of the first, such as a page;
    ``matched`` says that it obeys ``If-Match``, ``tagged`` that its answer has an ``ETag``, ``located`` a ``Location``.
    """

    answers: Mapping[int, Any]
    takes: Any = NOTHING
    wrapped: Callable[[Schema], Schema] | None = None
    parameters: Callable[[], list[dict[str, Any]]] = list
    matched: bool = False
    tagged: bool = False
    located: bool = False
    conflicts: bool = False


def _list_of(serializer: Any) -> Operation:
    return Operation({200: serializer}, wrapped=shapes.page_of, parameters=of_pages)


def _with_secret(webhook: Schema) -> Schema:
    return {"allOf": [webhook, shapes.REVELATION]}


def _job(takes: Any) -> Operation:
    return Operation({202: JobSerializer, 200: shapes.COUNT}, takes, conflicts=True, located=True)


_WEBHOOK = Operation({200: WebhookSerializer}, requests.NothingSerializer, matched=True, tagged=True)
_GONE = Operation({204: NOTHING}, matched=True)

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("webhook", "list"): _list_of(WebhookSerializer),
    ("webhook", "create"): Operation(
        {201: WebhookSerializer}, WebhookSerializer, wrapped=_with_secret, tagged=True, located=True
    ),
    ("webhook", "retrieve"): Operation({200: WebhookSerializer}, tagged=True),
    ("webhook", "partial_update"): Operation(
        {200: WebhookSerializer}, WebhookChangesSerializer, matched=True, tagged=True
    ),
    ("webhook", "destroy"): _GONE,
    ("webhook", "enable"): _WEBHOOK,
    ("webhook", "disable"): _WEBHOOK,
    ("webhook", "rotate_secret"): Operation({200: shapes.ROTATION}, requests.RotationSerializer, matched=True),
    ("webhook", "secret"): Operation({200: shapes.REVELATION}, conflicts=True),
    ("webhook", "test"): Operation({200: shapes.TRIAL}, TrialSerializer),
    ("webhook", "stats"): Operation({200: shapes.STATS}),
    ("webhook", "recover"): _job(requests.RangeSerializer),
    ("webhook", "replay_missed"): _job(requests.RangeSerializer),
    ("webhook", "cancel_pending"): _job(requests.CancellationSerializer),
    ("subscription", "list"): _list_of(SubscriptionSerializer),
    ("subscription", "create"): Operation(
        {201: SubscriptionSerializer}, SubscriptionSerializer, matched=True, tagged=True, located=True, conflicts=True
    ),
    ("subscription", "retrieve"): Operation({200: SubscriptionSerializer}),
    ("subscription", "partial_update"): Operation(
        {200: SubscriptionSerializer}, SubscriptionSerializer, matched=True, tagged=True
    ),
    ("subscription", "destroy"): _GONE,
    ("event-type", "list"): Operation({200: shapes.EVENT_TYPES}, parameters=lambda: [GROUP]),
    ("event-type", "retrieve"): Operation({200: shapes.EVENT_TYPE}),
    ("event-type", "json_schema"): Operation({200: shapes.JSON_SCHEMA}, parameters=lambda: [VERSION]),
    ("event-type", "example"): Operation({200: shapes.SAMPLE}, parameters=lambda: [VERSION]),
    ("event", "list"): Operation({200: EventSerializer}, wrapped=shapes.feed_of, parameters=of_feed),
    ("event", "retrieve"): Operation({200: EventSerializer}),
    ("delivery", "list"): _list_of(DeliverySerializer),
    ("delivery", "retrieve"): Operation({200: WholeDeliverySerializer}),
    ("delivery", "attempts"): _list_of(AttemptSerializer),
    ("delivery", "resend"): Operation({202: WholeDeliverySerializer}, requests.NothingSerializer, conflicts=True),
    ("delivery", "bulk_replay"): Operation(
        {202: JobSerializer, 200: shapes.COUNT},
        requests.BulkReplaySerializer,
        wrapped=lambda job: shapes.record(jobs={"type": "array", "items": job}, total=shapes.WHOLE),
        conflicts=True,
        located=True,
    ),
    ("job", "list"): _list_of(JobSerializer),
    ("job", "retrieve"): Operation({200: JobSerializer}),
    ("audit", "list"): _list_of(AuditEntrySerializer),
    ("audit", "retrieve"): Operation({200: AuditEntrySerializer}),
}

TAGS: Mapping[str, str] = {
    "webhook": "Webhooks",
    "subscription": "Subscriptions",
    "event-type": "Event types",
    "event": "Catching up",
    "delivery": "Deliveries",
    "job": "Jobs",
    "audit": "Audit log",
}
