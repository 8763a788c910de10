"""The bodies of what can be done with webhooks and deliveries."""

from __future__ import annotations

from rest_framework import serializers

from tms_webhooks.api.serializers.bases import StrictSerializer
from tms_webhooks.api.serializers.fields import (
    ListOfField,
    MomentField,
    OneOfField,
    TextField,
    TruthField,
    WholeNumberField,
)
from tms_webhooks.choices import JobKind
from tms_webhooks.conf import app_settings

MOST_WEBHOOKS = 100


class NothingSerializer(StrictSerializer):
    """No body, or an empty one."""


class RotationSerializer(StrictSerializer):
    """For how long the old secret goes on signing beside the new one."""

    overlap_seconds = WholeNumberField(required=False, min_value=0)

    def validate_overlap_seconds(self, value: int) -> int:
        """Refuse an overlap over the limit of the settings."""
        limit = int(app_settings.SECRET_OVERLAP_LIMIT)
        if value > limit:
            detail = f"It is {value}; give 0 to {limit} seconds."
            raise serializers.ValidationError(detail, code="max_value")
        return value


class CancellationSerializer(StrictSerializer):
    """Whether only to count."""

    dry_run = TruthField(required=False, default=False)


class RangeSerializer(CancellationSerializer):
    """A range of time of events, and whether only to count."""

    since = MomentField(required=False)
    until = MomentField(required=False)


class BulkReplaySerializer(RangeSerializer):
    """What to send again of several webhooks."""

    webhooks = ListOfField(child=TextField(max_length=18), min_length=1, max_length=MOST_WEBHOOKS)
    kind = OneOfField(choices=[kind.value for kind in (JobKind.RECOVER, JobKind.REPLAY_MISSED)])
