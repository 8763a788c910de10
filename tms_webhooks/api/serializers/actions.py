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
from tms_webhooks.choices import PayloadFormat
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery.replay import RESENDING
from tms_webhooks.digests import MOST_BUCKETS
from tms_webhooks.routing.explain import LATEST, MOST
from tms_webhooks.snapshot import ALL, MOST_IDS, Selection

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

    overlap_seconds = StrictIntegerField(default=lambda: int(app_settings.SECRET_OVERLAP_SECONDS), min_value=0)

    def validate_overlap_seconds(self, value: int) -> int:
        """Reject an overlap over ``SECRET_OVERLAP_LIMIT_SECONDS``."""
        limit = int(app_settings.SECRET_OVERLAP_LIMIT_SECONDS)
        if value > limit:
            raise serializers.ValidationError(f"Too large; use 0 to {limit} seconds.", code="max_value")
        return value


class DryRunSerializer(StrictSerializer):
    """With ``dry_run``, deliveries are only counted."""

    dry_run = StrictBooleanField(default=False)


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


class SnapshotBucketsSerializer(StrictSerializer):
    """The numbers of some buckets, from 0, and of how many buckets they are."""

    numbers = serializers.ListField(child=StrictIntegerField(min_value=0), min_length=1, max_length=MOST_BUCKETS)
    of = StrictIntegerField(min_value=1, max_value=MOST_BUCKETS)


class SnapshotSerializer(DryRunSerializer):
    """The nouns whose objects are sent; "all" stands for each that the webhook can have. With ``dry_run``, they are only counted.

    ``ids`` are those of the objects of one noun that alone are sent. ``buckets`` are those whose objects alone are sent.
    """

    ids = serializers.ListField(
        child=StrictCharField(max_length=LONGEST_SUBJECT), required=False, min_length=1, max_length=MOST_IDS
    )
    buckets = SnapshotBucketsSerializer(required=False)
    nouns = NounsField(child=StrictCharField(max_length=50), min_length=1, max_length=MAX_NOUNS)

    def validate(self, attrs: Any) -> Any:
        """Return the values with what they select as ``only``; reject both ids and buckets, and numbers of no bucket."""
        buckets, ids = attrs.pop("buckets", {"numbers": (), "of": 1}), attrs.pop("ids", ())
        if ids and buckets["numbers"]:
            raise serializers.ValidationError({"ids": "Give ids or buckets, not both."}, code="conflict")
        if beyond := [number for number in buckets["numbers"] if number >= buckets["of"]]:
            detail = f"{beyond[0]} is no bucket of {buckets['of']}; use numbers from 0 to {buckets['of'] - 1}."
            raise serializers.ValidationError({"buckets": {"numbers": detail}}, code="max_value")
        return {**attrs, "only": Selection(frozenset(ids), frozenset(buckets["numbers"]), buckets["of"])}


class SnapshotNounsSerializer(StrictSerializer):
    """The nouns that a snapshot of a webhook can have: those that it subscribes to and whose objects have rows."""

    nouns = serializers.ListField(child=serializers.CharField())


class BulkReplaySerializer(DateRangeSerializer):
    """The webhooks and the range of event times to replay. With ``dry_run``, deliveries are only counted."""

    webhooks = serializers.ListField(child=StrictCharField(max_length=36), min_length=1, max_length=MAX_WEBHOOKS)
    kind = StrictChoiceField(choices=[kind.value for kind in RESENDING])


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
    latest = StrictIntegerField(default=LATEST, min_value=1, max_value=MOST)
