"""Events as the catch-up feed has them."""

from __future__ import annotations

import json
from typing import Any

from rest_framework import serializers

from tms_webhooks.api.serializers.bases import StrictSerializer
from tms_webhooks.api.serializers.fields import MomentField, OrganizationKeyField
from tms_webhooks.models import Event

PAYLOAD_STATES = ("kept", "pruned", "hidden", "failed")
"""Whether an event comes with what it says: it does; that is no longer kept; not to this caller; it could not be built."""


class SubjectSerializer(StrictSerializer):
    """What an event tells of."""

    type = serializers.CharField(source="subject_type", read_only=True)
    id = serializers.CharField(source="subject_id", read_only=True)


class EventSerializer(StrictSerializer):
    """One event. ``id`` is the ``webhook-id`` that receivers see, ``payload`` what they are sent in the format standard.

    Its context has ``shows_payload``, which says of an event whether the caller may see what it says.
    """

    id = serializers.CharField(source="public_id", read_only=True)
    type = serializers.CharField(read_only=True)
    version = serializers.IntegerField(read_only=True)
    occurred_at = MomentField(read_only=True)
    organization = OrganizationKeyField(source="organization_id")
    subject = SubjectSerializer(source="*", read_only=True)
    sequence = serializers.IntegerField(read_only=True)
    payload_state = serializers.SerializerMethodField()
    payload = serializers.SerializerMethodField()

    def get_payload_state(self, event: Event) -> str:
        """Return whether there is a payload, and if not, why."""
        if event.error:
            return "failed"
        if not event.body:
            return "pruned"
        return "kept" if self.context["shows_payload"](event) else "hidden"

    def get_payload(self, event: Event) -> dict[str, Any] | None:
        """Return the whole event as it was stored, where there is one to show."""
        if self.get_payload_state(event) != "kept":
            return None
        payload: dict[str, Any] = json.loads(event.body)
        return payload
