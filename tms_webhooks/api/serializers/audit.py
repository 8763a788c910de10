"""The audit log."""

from __future__ import annotations

from rest_framework import serializers

from tms_webhooks.api.serializers.bases import RowSerializer
from tms_webhooks.api.serializers.fields import KeyField, OrganizationKeyField
from tms_webhooks.models import AuditEntry


class AuditEntrySerializer(RowSerializer):
    """Who did what, and when. ``changes`` names fields with what they were and are, and never a secret."""

    id = KeyField()
    actor = serializers.SerializerMethodField()
    organization = OrganizationKeyField(source="organization_id")
    webhook = serializers.SerializerMethodField()

    class Meta:
        model = AuditEntry
        fields = ("id", "at", "actor", "action", "organization", "webhook", "target", "changes")
        read_only_fields = fields

    def get_actor(self, entry: AuditEntry) -> dict[str, str]:
        """Return who it was."""
        return {"kind": entry.actor_kind, "id": entry.actor_id, "label": entry.actor_label}

    def get_webhook(self, entry: AuditEntry) -> str | None:
        """Return which webhook it was about; null once its row is gone."""
        return None if entry.webhook_id is None else str(entry.webhook_id)
