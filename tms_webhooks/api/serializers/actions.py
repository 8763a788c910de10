"""The request bodies of actions on webhooks and deliveries."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from tms_webhooks.api.serializers.base import (
    StrictBooleanField,
    StrictCharField,
    StrictChoiceField,
    StrictIntegerField,
    StrictSerializer,
    UTCDateTimeField,
)
from tms_webhooks.api.serializers.webhooks import SubscriptionListField
from tms_webhooks.choices import JobKind, PayloadFormat
from tms_webhooks.conf import app_settings
from tms_webhooks.routing.explain import LATEST, MOST
from tms_webhooks.snapshot import ALL

MAX_WEBHOOKS = 100
"""The maximum number of webhooks of one bulk replay."""

MAX_NOUNS = 100
"""The maximum number of nouns of one snapshot."""

LONGEST_SUBJECT = 300
"""The maximum length of a subject in characters."""


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


class NounsField(serializers.ListField):
    """A list of nouns, or "all". In the OpenAPI document it is a list alone: a choice of two types is awkward in typed clients."""

    def to_internal_value(self, data: Any) -> list[str]:
        """Return the nouns; those of "all" depend on the webhook."""
        nouns: list[str] = super().to_internal_value([ALL] if data == ALL else data)
        return nouns


class SnapshotSerializer(DryRunSerializer):
    """The nouns whose objects are sent; "all" stands for each that the webhook can have. With ``dry_run``, they are only counted."""

    nouns = NounsField(child=StrictCharField(max_length=50), min_length=1, max_length=MAX_NOUNS)


class SnapshotNounsSerializer(StrictSerializer):
    """The nouns that a snapshot of a webhook can have: those that it subscribes to and whose objects have rows."""

    nouns = serializers.ListField(child=serializers.CharField())


class BulkReplaySerializer(DateRangeSerializer):
    """The webhooks and the range of event times to replay. With ``dry_run``, deliveries are only counted."""

    webhooks = serializers.ListField(child=StrictCharField(max_length=36), min_length=1, max_length=MAX_WEBHOOKS)
    kind = StrictChoiceField(choices=[kind.value for kind in (JobKind.RECOVER, JobKind.REPLAY_MISSED)])


class SendTestSerializer(StrictSerializer):
    """The event to send: its type and its object. Without an object, the sample of the type is sent.

    Without a type, it is the first that the webhook subscribes to; `webhook.test` if it subscribes to none.
    """

    event_type = StrictCharField(required=False, max_length=100)
    subject = StrictCharField(required=False, max_length=LONGEST_SUBJECT)


class PreviewSerializer(SendTestSerializer):
    """The event to preview, and a format to try, by default that of the webhook."""

    format = StrictChoiceField(required=False, choices=PayloadFormat.choices)


class SubscriptionDryRunSerializer(StrictSerializer):
    """The subscriptions to try, by default those of the webhook, and how many of the latest events to examine."""

    subscriptions = SubscriptionListField()
    latest = StrictIntegerField(required=False, default=LATEST, min_value=1, max_value=MOST)
