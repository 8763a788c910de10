"""The delivery log: what was sent to whom, and each attempt."""

from __future__ import annotations

from rest_framework import serializers

from tms_webhooks.api.serializers.bases import RowSerializer, StrictSerializer
from tms_webhooks.api.serializers.fields import KeyField, MomentField, OrganizationKeyField, timing_told
from tms_webhooks.choices import Priority
from tms_webhooks.models import Delivery, DeliveryAttempt, DeliveryBody
from tms_webhooks.payloads.formats import JSON


class EventOfDeliverySerializer(StrictSerializer):
    """The event of a delivery, without what it says. ``id`` is the ``webhook-id`` that receivers see."""

    id = serializers.CharField(source="public_id", read_only=True)
    type = serializers.CharField(read_only=True)
    version = serializers.IntegerField(read_only=True)
    occurred_at = MomentField(read_only=True)


class DeliverySerializer(RowSerializer):
    """One event on its way to one webhook. ``id`` is the ``tms-delivery-id`` that receivers see."""

    id = KeyField()
    webhook = KeyField(source="webhook_id")
    organization = OrganizationKeyField(source="webhook.organization_id")
    event = EventOfDeliverySerializer(read_only=True)
    priority = serializers.SerializerMethodField()

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
            "reopened_at",
            "finished_at",
        )
        read_only_fields: tuple[str, ...] = fields

    def get_priority(self, delivery: Delivery) -> str:
        """Return the name of its priority: manual, live or replay."""
        return Priority(delivery.priority).name.lower()


class WholeDeliverySerializer(DeliverySerializer):
    """A delivery with what it sends: null to those who may not see payloads, and once it is no longer kept."""

    payload = serializers.SerializerMethodField()

    class Meta(DeliverySerializer.Meta):
        fields = (*DeliverySerializer.Meta.fields, "payload")
        read_only_fields = fields

    def get_payload(self, delivery: Delivery) -> dict[str, str] | None:
        """Return the body in the webhook's own format, once it is settled, and until then the event as it is stored."""
        if not self.context["view"].may_see_payloads(delivery.webhook.organization_id) or not delivery.event.body:
            return None
        rendered = DeliveryBody.objects.filter(pk=delivery.pk).exclude(content_type="").first()
        if rendered is None:
            return {"content_type": JSON, "body": delivery.event.body}
        return {"content_type": rendered.content_type, "body": rendered.body}


class AttemptSerializer(RowSerializer):
    """One HTTP call. ``number`` is null for one whose worker had lost the delivery to another."""

    response_body = serializers.SerializerMethodField()
    timing_ms = serializers.SerializerMethodField()

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

    def get_response_body(self, attempt: DeliveryAttempt) -> str | None:
        """Return what the receiver answered, to those who may see payloads."""
        return attempt.response_body if self.context["shows_payloads"] else None

    def get_timing_ms(self, attempt: DeliveryAttempt) -> dict[str, float | None]:
        """Return where the time went."""
        return timing_told(attempt.parts)
