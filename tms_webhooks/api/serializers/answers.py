"""What the API answers: the results of actions, and the app's records. All are read-only.

Each is made of the row, object or mapping that the action returns; the OpenAPI document describes them from here.
"""

from __future__ import annotations

import json
from typing import Any

from rest_framework.fields import (
    BooleanField,
    CharField,
    DictField,
    IntegerField,
    ListField,
    RegexField,
    SerializerMethodField,
    URLField,
)
from rest_framework.serializers import Serializer

from tms_webhooks.access import may_view_payload
from tms_webhooks.api.schema.shim import extend_schema_field, no_list
from tms_webhooks.api.serializers.base import (
    EventIDField,
    IDField,
    MillisecondsField,
    NumberField,
    OrganizationIDField,
    PayloadField,
    StrictModelSerializer,
    UTCDateTimeField,
    WordField,
)
from tms_webhooks.choices import (
    Action,
    ActorKind,
    CheckResult,
    DeliveryStatus,
    ErrorClass,
    Health,
    PayloadDetail,
    Priority,
)
from tms_webhooks.delivery import rendering
from tms_webhooks.delivery.replay import progress_by_job
from tms_webhooks.digests import digested
from tms_webhooks.models import Delivery, DeliveryAttempt, Event, Job, WebhookSecret
from tms_webhooks.payloads.formats import JSON
from tms_webhooks.routing.explain import Clause, DryRunReport

DIGEST = "^[0-9a-f]{32}$"
WEBHOOK_STATES = ("enabled", "held", "paused", "disabled")


class RotatedSecretSerializer(Serializer):
    """The new secret of a webhook. It is null in the stored response that a repeated request gets."""

    secret = RegexField("^whsec_", allow_null=True)
    old_secret_signs_until = UTCDateTimeField()


class RevealedSecretSerializer(Serializer):
    """The secret of a webhook."""

    secret = RegexField("^whsec_")


class TimingSerializer(Serializer):
    """The milliseconds of each phase of a request; null for a phase that did not happen or is not known."""

    dns = MillisecondsField(allow_null=True)
    connect = MillisecondsField(allow_null=True)
    tls = MillisecondsField(allow_null=True)
    wait = MillisecondsField(allow_null=True)
    read = MillisecondsField(allow_null=True)


class AttemptStatsSerializer(Serializer):
    """The attempts of a period, which begins at a whole hour or day (UTC)."""

    starts_at = UTCDateTimeField()
    attempts = IntegerField()
    delivered = IntegerField()
    retried = IntegerField()
    given_up = IntegerField()
    success_rate = NumberField(allow_null=True)
    p50_ms = IntegerField(allow_null=True)
    p95_ms = IntegerField(allow_null=True)


class LagStatsSerializer(Serializer):
    """The seconds from an event to its first attempt, without the webhook's own delay."""

    starts_at = UTCDateTimeField()
    deliveries = IntegerField()
    p50 = NumberField(allow_null=True, help_text="Seconds that half of the deliveries did not exceed.")
    p95 = NumberField(allow_null=True, help_text="Seconds that 95 percent of the deliveries did not exceed.")


class WebhookStatsSerializer(Serializer):
    """The figures of a webhook, of the last 24 hours and of the last 30 days."""

    state = WordField(WEBHOOK_STATES)
    health = WordField(Health, component="Health")
    failures = IntegerField()
    backlog = IntegerField()
    due_seconds = NumberField(allow_null=True)
    day = AttemptStatsSerializer()
    month = AttemptStatsSerializer()
    lag = LagStatsSerializer()
    as_of = UTCDateTimeField()


class CheckSerializer(Serializer):
    """One check of an explanation."""

    name = CharField()
    verdict = WordField(CheckResult)
    detail = CharField(source="sentence")
    subscription = SerializerMethodField()

    @extend_schema_field(
        IDField(
            allow_null=True, help_text="The subscription that the check belongs to. Null for a check of the webhook."
        )
    )
    def get_subscription(self, clause: Clause) -> str | None:
        """Return the id of the check's subscription; None for a check of the webhook."""
        subscriptions = self.context["view"].shown_webhook.subscriptions.all()
        return next((one.public_id for one in subscriptions if one.pk == clause.subscription_id), None)


VERDICT = "`held`: the event would be kept as a skipped delivery, and not sent."


class ExplainedDeliverySerializer(Serializer):
    """A delivery with its status."""

    id = IDField(source="public_id")
    status = WordField(DeliveryStatus)


class ExplainedEventSerializer(Serializer):
    """Whether the webhook receives an event by its current settings, and why."""

    event = EventIDField(allow_null=True, help_text="Null for an event that has not happened.")
    event_type = CharField()
    delivery = ExplainedDeliverySerializer(
        allow_null=True,
        source="explanation.delivery",
        help_text="The delivery of the event to the webhook, if it has one.",
    )
    verdict = WordField(CheckResult, source="explanation.verdict", help_text=VERDICT)
    summary = CharField(source="explanation.summary")
    checks = CheckSerializer(many=True, source="explanation.clauses")


class DryRunMissSerializer(Serializer):
    """A check that events have failed."""

    name = CharField()
    detail = CharField(source="sentence")
    events = IntegerField()
    position = IntegerField(
        allow_null=True,
        source="subscription",
        help_text="The index of the subscription that the check belongs to. Null for a check of the webhook.",
    )


class DryRunReportSerializer(Serializer):
    """The latest events that subscriptions would have matched, and why the others match none."""

    examined = IntegerField()
    matched = IntegerField()
    misses = DryRunMissSerializer(
        many=True, help_text="The failed checks of the events that match no subscription, the most frequent first."
    )
    events = ListField(child=EventIDField(), help_text="The events that match, the latest first.")

    def to_representation(self, instance: DryRunReport) -> dict[str, Any]:
        """Return the counts of a report, and those of each failed check."""
        events = [event.public_id for event in instance.events]
        misses = [{**reason._asdict(), "events": count} for reason, count in instance.main_reasons]
        report = {"examined": instance.examined, "matched": len(events), "misses": misses, "events": events}
        return super().to_representation(report)


class TestRequestSerializer(Serializer):
    """The request of a test send."""

    method = CharField(source="result.request.endpoint.webhook.verb")
    headers = DictField(child=CharField(), source="signed")
    body = PayloadField(allow_null=True)


class TestSendResultSerializer(Serializer):
    """The result of a test send. Bodies are null for callers who may not see payloads."""

    success = BooleanField(source="result.outcome.success")
    status_code = IntegerField(source="result.status", allow_null=True)
    error_class = WordField(("", *ErrorClass), component="ErrorClass", source="result.outcome.error_class")
    message = CharField(source="result.outcome.message")
    started_at = UTCDateTimeField(source="result.started_at")
    duration_ms = MillisecondsField(source="result.seconds", allow_null=True)
    timing_ms = TimingSerializer(source="result.timing")
    delivery = IDField(source="delivery.public_id")
    event = EventIDField(source="delivery.event.public_id")
    event_type = CharField(source="imitated.type")
    request = TestRequestSerializer(source="*")
    response_body = PayloadField(source="result.body", allow_null=True)
    healed = BooleanField()


class RequestPreviewSerializer(Serializer):
    """The request that a webhook would get for an event."""

    event_type = CharField()
    method = CharField()
    url = CharField(help_text="With its tokens filled in. Empty for a pull-only webhook.")
    headers = DictField(
        child=CharField(), help_text="The signature and the values of the webhook's own headers are masked."
    )
    body = CharField(allow_null=True, help_text="Null if the request can't be built.")
    empty_tokens = ListField(
        child=CharField(),
        help_text="The tokens of the URL and of custom content that have no value in this event.",
    )
    problem = CharField(help_text="Why the request can't be built; empty otherwise.")


class EventTypeSerializer(Serializer):
    """An event type of the catalogue."""

    name = CharField()
    group = CharField(source="noun.name")
    title = CharField(source="noun.title")
    summary = CharField()
    version = IntegerField()
    deprecated = BooleanField()
    offered = BooleanField(
        help_text="Whether a webhook can subscribe to it. False for events that are made for one webhook."
    )


class CallerSerializer(Serializer):
    """A user, API client or process."""

    kind = WordField(ActorKind)
    id = CharField(source="stored_id")
    label = CharField()  # type: ignore[assignment]


class OrganizationRightsSerializer(Serializer):
    """An organization, and the rights of the caller there."""

    id = OrganizationIDField()
    name = CharField()
    actions = ListField(
        child=WordField(Action, component="PolicyAction"),
        help_text="The actions that the caller may do in the organization.",
    )


@no_list
class MeSerializer(Serializer):
    """The caller, and a page of its organizations."""

    caller = CallerSerializer()
    next = URLField(allow_null=True)
    previous = URLField(allow_null=True)
    results = OrganizationRightsSerializer(many=True)


class ObjectDigestSerializer(Serializer):
    """An object that a webhook receives: its id as text, the customer's own id, and the digest as in its last event."""

    id = CharField()
    external_id = CharField(allow_null=True)
    digest = RegexField(DIGEST)


class ObjectDigestsSerializer(Serializer):
    """A page of objects."""

    next = URLField(allow_null=True)
    results = ObjectDigestSerializer(many=True)


class BucketSerializer(Serializer):
    """A bucket: its number from 0, the number of its objects, and its digest."""

    bucket = IntegerField()
    count = IntegerField()
    digest = RegexField(DIGEST)


class BucketsSerializer(Serializer):
    """A page of buckets. ``cursor`` is that of the catch-up feed before they were read: later changes come after it."""

    next = URLField(allow_null=True)
    cursor = CharField()
    results = BucketSerializer(many=True)


# Records


class EventSubjectSerializer(Serializer):
    """The object that an event is about."""

    type = CharField(source="subject_type")
    id = CharField(source="subject_id")


class DeliveryEventSerializer(Serializer):
    """The event of a delivery, without its payload. ``id`` is the ``webhook-id`` of the requests."""

    id = CharField(source="public_id")
    type = CharField()
    version = IntegerField()
    occurred_at = UTCDateTimeField()


class EventSerializer(DeliveryEventSerializer):
    """One event. ``id`` is the ``webhook-id`` of its requests. ``payload`` is the event in the format ``standard``.

    ``payload_state`` says why ``payload`` is null. ``pruned``: it was deleted after its retention time. ``hidden``: the
    caller may not see payloads. ``failed``: it could not be built. Otherwise it is ``kept``.
    """

    organization = OrganizationIDField(source="organization_id")
    subject = EventSubjectSerializer(source="*")
    sequence = IntegerField(allow_null=True)
    payload_state = SerializerMethodField()
    payload = SerializerMethodField()

    @extend_schema_field(WordField(("kept", "pruned", "hidden", "failed")))
    def get_payload_state(self, event: Event) -> str:
        """Return ``kept``, ``pruned``, ``hidden`` or ``failed``."""
        if event.error:
            return "failed"
        if not event.body:
            return "pruned"
        # The view decides for a whole page.
        return "kept" if self.context["view"].shows_payload(event) else "hidden"

    def get_payload(self, event: Event) -> dict[str, Any] | None:
        """Return the event, or null unless ``payload_state`` is ``kept``."""
        return json.loads(digested(event.body, PayloadDetail.FULL)) if self.get_payload_state(event) == "kept" else None


class WebhookEventSerializer(DeliveryEventSerializer):
    """One event in the format of a webhook. ``body`` is the body that is sent to it, and ``id`` the ``webhook-id``.

    ``body`` is null if it is no longer kept (``body_state`` is ``pruned``), or can't be written in the format (``failed``).
    """

    body_state = WordField(("kept", "pruned", "failed"))
    content_type = CharField(allow_null=True)
    body = CharField(allow_null=True)

    def to_representation(self, instance: Event) -> dict[str, Any]:
        """Return the event with its body, which is rendered once."""
        content = rendering.content_for(self.context["view"].shown_webhook, instance.body) if instance.body else None
        sent = None if content is None or content.problem is not None else content
        state = "kept" if sent else "failed" if instance.body or instance.error else "pruned"
        body = {"body_state": state, "content_type": sent and sent.content_type, "body": sent and sent.body.decode()}
        return {**DeliveryEventSerializer(instance).data, **body}


class DeliverySerializer(StrictModelSerializer):
    """The delivery of one event to one webhook. ``id`` is the ``tms-delivery-id`` of its requests."""

    id = IDField(source="public_id", read_only=True)
    webhook = IDField(source="webhook.public_id", read_only=True)
    organization = OrganizationIDField(source="webhook.organization_id")
    event = DeliveryEventSerializer(read_only=True)
    priority = SerializerMethodField()
    next_attempt_at = UTCDateTimeField(read_only=True, allow_null=True)
    expires_at = UTCDateTimeField(read_only=True, allow_null=True)

    class Meta:
        model = Delivery
        fields: tuple[str, ...] = (
            "id",
            "webhook",
            "organization",
            "event",
            "status",
            "priority",
            "attempts",
            "charged",
            "error_class",
            "created_at",
            "due_at",
            "next_attempt_at",
            "expires_at",
            "reopened_at",
            "finished_at",
        )
        read_only_fields: tuple[str, ...] = fields
        extra_kwargs = {
            "attempts": {"help_text": "The number of HTTP requests so far."},
            "charged": {
                "help_text": "How many of the attempts used up a retry, since the delivery was created or last replayed."
            },
            "reopened_at": {"help_text": "When the delivery was last replayed, or null if it never was."},
        }

    @extend_schema_field(WordField([one.name.lower() for one in Priority]))
    def get_priority(self, delivery: Delivery) -> str:
        """Return the priority: ``manual``, ``live`` or ``replay``."""
        return Priority(delivery.priority).name.lower()


class DeliveryPayloadSerializer(Serializer):
    """The body of a delivery."""

    content_type = CharField()
    body = CharField()


class DeliveryDetailSerializer(DeliverySerializer):
    """A delivery with its payload. The payload is null if the caller may not see it, or after its retention time."""

    merged_into = CharField(
        source="carrier.public_id",
        read_only=True,
        allow_null=True,
        help_text="The id of the delivery that carries the changes of a merged one; null for others, and if none was left.",
    )
    payload = SerializerMethodField()

    class Meta(DeliverySerializer.Meta):
        fields = (*DeliverySerializer.Meta.fields, "merged_into", "payload")
        read_only_fields = fields

    @extend_schema_field(DeliveryPayloadSerializer(allow_null=True))
    def get_payload(self, delivery: Delivery) -> dict[str, str] | None:
        """Return the body in the webhook's format once the delivery is finished, and the stored event before."""
        allows = self.context["view"].allows
        if not delivery.event.body or not may_view_payload(delivery.webhook, delivery.event, allows):
            return None
        own = getattr(delivery, "own_body", None)
        if own is None or not own.stored:
            return {"content_type": JSON, "body": digested(delivery.event.body, PayloadDetail.FULL)}
        return {"content_type": own.content_type or JSON, "body": own.stored}


class AttemptSerializer(StrictModelSerializer):
    """One HTTP request of a delivery. ``number`` is null if the worker had lost the delivery to another worker."""

    response_body = PayloadField(
        read_only=True,
        allow_null=True,
        help_text="The receiver's response, or null if the caller may not see payloads.",
    )
    timing_ms = TimingSerializer(source="parts", read_only=True)

    class Meta:
        model = DeliveryAttempt
        fields = (
            "number",
            "charged",
            "started_at",
            "duration_ms",
            "timing_ms",
            "status_code",
            "error_class",
            "message",
            "response_body",
            "next_delay",
            "delay_reason",
        )
        read_only_fields = fields
        extra_kwargs = {
            "charged": {
                "help_text": "Whether the attempt used up a retry. One that the receiver deferred uses up none."
            },
            "next_delay": {"help_text": "Seconds until the next attempt, or null if none follows."},
        }


class JobDeliveriesSerializer(Serializer):
    """The numbers of a job's deliveries."""

    delivered = IntegerField()
    failed = IntegerField()
    skipped = IntegerField()
    cancelled = IntegerField()
    waiting = IntegerField()


class JobSerializer(StrictModelSerializer):
    """A bulk operation on deliveries. ``done`` of ``total`` deliveries are processed; ``total`` is counted at the start.

    A job is finished when it has processed them all; ``deliveries`` has how they ended, and how many wait. Of a
    snapshot, ``done`` and ``total`` are the objects of its ``nouns``; ``skipped`` objects could not be sent. It is finished
    when its last delivery is. ``cursor`` is that of the catch-up feed at its start: later changes come after it.
    """

    id = IDField(source="public_id", read_only=True)
    webhook = IDField(source="webhook.public_id", read_only=True)
    organization = OrganizationIDField(source="webhook.organization_id")
    deliveries = SerializerMethodField()

    class Meta:
        model = Job
        fields = (
            "id",
            "kind",
            "webhook",
            "organization",
            "since",
            "until",
            "status",
            "nouns",
            "total",
            "done",
            "skipped",
            "deliveries",
            "cursor",
            "error",
            "requested_by",
            "created_at",
            "finished_at",
        )
        read_only_fields = fields

    @extend_schema_field(
        JobDeliveriesSerializer(
            allow_null=True,
            help_text=(
                "The deliveries that the job created or reopened. Skipped ones were "
                "not sent, because the webhook was disabled. Null in a list, and for jobs of the kinds cancel_pending and "
                "send_now."
            ),
        )
    )
    def get_deliveries(self, job: Job) -> dict[str, int] | None:
        """Return the numbers of the job's deliveries, where the view wants them counted."""
        counted = progress_by_job([job]).get(job.pk) if self.context["view"].counts_deliveries else None
        return None if counted is None else counted._asdict()


class StartedJobsSerializer(Serializer):
    """The jobs that a request started, one per webhook, and the deliveries or objects in them. A dry run starts none."""

    dry_run = BooleanField()
    total = IntegerField()
    jobs = JobSerializer(many=True)


class SecretSerializer(StrictModelSerializer):
    """A signing secret of a webhook, without its value. The current one has no end: ``expires_at`` is null."""

    id = IDField(source="public_id", read_only=True)

    class Meta:
        model = WebhookSecret
        fields = ("id", "created_at", "expires_at")
        read_only_fields = fields
