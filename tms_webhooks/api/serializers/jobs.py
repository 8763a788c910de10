"""Long changes of many deliveries, with their progress."""

from __future__ import annotations

from tms_webhooks.api.serializers.bases import RowSerializer
from tms_webhooks.api.serializers.fields import KeyField, OrganizationKeyField
from tms_webhooks.models import Job


class JobSerializer(RowSerializer):
    """One job. ``done`` of ``total`` deliveries are behind it; the total is that of its beginning."""

    id = KeyField()
    webhook = KeyField(source="webhook_id")
    organization = OrganizationKeyField(source="webhook.organization_id")

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
            "total",
            "done",
            "error",
            "requested_by",
            "created_at",
            "finished_at",
        )
        read_only_fields = fields
