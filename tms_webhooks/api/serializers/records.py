"""Read-only serializers of the app's records: events, deliveries with their attempts, jobs and secrets."""

from __future__ import annotations

import json
from typing import Any

from rest_framework import serializers

from tms_webhooks.api.schema.shim import extend_schema_field
from tms_webhooks.api.serializers.base import (
    IDField,
    OrganizationIDField,
    PayloadField,
    StrictModelSerializer,
    UTCDateTimeField,
    WordField,
)
from tms_webhooks.api.serializers.results import TimingSerializer
from tms_webhooks.choices import PayloadDetail, Priority
from tms_webhooks.delivery import rendering
from tms_webhooks.delivery.replay import progress_by_job
from tms_webhooks.digests import digested
from tms_webhooks.models import Delivery, DeliveryAttempt, Event, Job, WebhookSecret
from tms_webhooks.payloads.formats import JSON


class EventSubjectSerializer(serializers.Serializer):
    """The object that an event is about."""

    type = serializers.CharField(source="subject_type")
    id = serializers.CharField(source="subject_id")


class DeliveryEventSerializer(serializers.Serializer):
    """The event of a delivery, without its payload. ``id`` is the ``webhook-id`` of the requests."""

    id = serializers.CharField(source="public_id")
    type = serializers.CharField()
    version = serializers.IntegerField()
    occurred_at = UTCDateTimeField()


class EventSerializer(DeliveryEventSerializer):
    """One event. ``id`` is the ``webhook-id`` of its requests. ``payload`` is the event in the format ``standard``.

    ``payload_state`` says why ``payload`` is null. ``pruned``: it was deleted after its retention time. ``hidden``: the
    caller may not see payloads. ``failed``: it could not be built. Otherwise it is ``kept``.
    """

    organization = OrganizationIDField(source="organization_id")
    subject = EventSubjectSerializer(source="*")
    sequence = serializers.IntegerField(allow_null=True)
    payload_state = serializers.SerializerMethodField()
    payload = serializers.SerializerMethodField()

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
    content_type = serializers.CharField(allow_null=True)
    body = serializers.CharField(allow_null=True)

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
    priority = serializers.SerializerMethodField()
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


class DeliveryPayloadSerializer(serializers.Serializer):
    """The body of a delivery."""

    content_type = serializers.CharField()
    body = serializers.CharField()


class DeliveryDetailSerializer(DeliverySerializer):
    """A delivery with its payload. The payload is null if the caller may not see it, or after its retention time."""

    merged_into = serializers.CharField(
        source="carrier.public_id",
        read_only=True,
        allow_null=True,
        help_text="The id of the delivery that carries the changes of a merged one; null for others, and if none was left.",
    )
    payload = serializers.SerializerMethodField()

    class Meta(DeliverySerializer.Meta):
        fields = (*DeliverySerializer.Meta.fields, "merged_into", "payload")
        read_only_fields = fields

    @extend_schema_field(DeliveryPayloadSerializer(allow_null=True))
    def get_payload(self, delivery: Delivery) -> dict[str, str] | None:
        """Return the body in the webhook's format once the delivery is finished, and the stored event before."""
        if not self.context["view"].may_see_payload(delivery.webhook, delivery.event) or not delivery.event.body:
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


class JobDeliveriesSerializer(serializers.Serializer):
    """The numbers of a job's deliveries."""

    delivered = serializers.IntegerField()
    failed = serializers.IntegerField()
    skipped = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    waiting = serializers.IntegerField()


class JobSerializer(StrictModelSerializer):
    """A bulk operation on deliveries. ``done`` of ``total`` deliveries are processed; ``total`` is counted at the start.

    A job is finished when it has processed them all; ``deliveries`` has how they ended, and how many wait. Of a
    snapshot, ``done`` and ``total`` are the objects of its ``nouns``; ``skipped`` objects could not be sent. It is finished
    when its last delivery is. ``cursor`` is that of the catch-up feed at its start: later changes come after it.
    """

    id = IDField(source="public_id", read_only=True)
    webhook = IDField(source="webhook.public_id", read_only=True)
    organization = OrganizationIDField(source="webhook.organization_id")
    deliveries = serializers.SerializerMethodField()

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


class StartedJobsSerializer(serializers.Serializer):
    """The jobs that a request started, one per webhook, and the deliveries or objects in them. A dry run starts none."""

    dry_run = serializers.BooleanField()
    total = serializers.IntegerField()
    jobs = JobSerializer(many=True)


class SecretSerializer(StrictModelSerializer):
    """A signing secret of a webhook, without its value. The current one has no end: ``expires_at`` is null."""

    id = IDField(source="public_id", read_only=True)

    class Meta:
        model = WebhookSecret
        fields = ("id", "created_at", "expires_at")
        read_only_fields = fields
