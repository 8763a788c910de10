"""The request bodies of actions on webhooks and deliveries."""

from __future__ import annotations

from rest_framework import serializers

from tms_webhooks.api.serializers.fields import (
    StrictBooleanField,
    StrictCharField,
    StrictChoiceField,
    StrictIntegerField,
    StrictListField,
    UTCDateTimeField,
)
from tms_webhooks.api.serializers.strict import StrictSerializer
from tms_webhooks.choices import JobKind
from tms_webhooks.conf import app_settings

MAX_WEBHOOKS = 100
"""The maximum number of webhooks of one bulk replay."""

MAX_NOUNS = 100
"""The maximum number of nouns of one snapshot."""


class EmptySerializer(StrictSerializer):
    """No body, or an empty one."""


class SecretRotationSerializer(StrictSerializer):
    """The time in which both the old and the new secret sign."""

    overlap_seconds = StrictIntegerField(required=False, min_value=0)

    def validate_overlap_seconds(self, value: int) -> int:
        """Reject an overlap over ``SECRET_OVERLAP_LIMIT_SECONDS``."""
        limit = int(app_settings.SECRET_OVERLAP_LIMIT_SECONDS)
        if value > limit:
            detail = f"Too large; use 0 to {limit} seconds."
            raise serializers.ValidationError(detail, code="max_value")
        return value


class DryRunSerializer(StrictSerializer):
    """With ``dry_run``, deliveries are only counted."""

    dry_run = StrictBooleanField(required=False, default=False)


class DateRangeSerializer(DryRunSerializer):
    """A range of event times. With ``dry_run``, deliveries are only counted."""

    since = UTCDateTimeField(required=False)
    until = UTCDateTimeField(required=False)


class RecoverSerializer(DateRangeSerializer):
    """A range of event times with a start, at most RECOVER_DAYS long. With ``dry_run``, deliveries are only counted."""

    since = UTCDateTimeField()


class SnapshotSerializer(DryRunSerializer):
    """The nouns whose objects are sent. With ``dry_run``, they are only counted."""

    nouns = StrictListField(child=StrictCharField(max_length=50), min_length=1, max_length=MAX_NOUNS)


class BulkReplaySerializer(DateRangeSerializer):
    """The webhooks and the range of event times to replay. With ``dry_run``, deliveries are only counted."""

    webhooks = StrictListField(child=StrictCharField(max_length=36), min_length=1, max_length=MAX_WEBHOOKS)
    kind = StrictChoiceField(choices=[kind.value for kind in (JobKind.RECOVER, JobKind.REPLAY_MISSED)])
