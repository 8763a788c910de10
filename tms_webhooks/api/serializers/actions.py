"""The request bodies of actions on webhooks and deliveries, and the result of a test send."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from tms_webhooks.api.serializers.fields import (
    JSONObjectField,
    StrictBooleanField,
    StrictCharField,
    StrictChoiceField,
    StrictIntegerField,
    StrictListField,
    UTCDateTimeField,
    format_utc,
    milliseconds,
    timing_in_ms,
)
from tms_webhooks.api.serializers.strict import StrictSerializer
from tms_webhooks.choices import JobKind
from tms_webhooks.conf import app_settings
from tms_webhooks.event_names import TEST
from tms_webhooks.worker.test_send import TestSendResult

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
        """Reject an overlap over ``SECRET_OVERLAP_LIMIT``."""
        limit = int(app_settings.SECRET_OVERLAP_LIMIT)
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


class SnapshotSerializer(DryRunSerializer):
    """The nouns whose objects are sent. With ``dry_run``, they are only counted."""

    nouns = StrictListField(child=StrictCharField(max_length=50), min_length=1, max_length=MAX_NOUNS)


class BulkReplaySerializer(DateRangeSerializer):
    """The webhooks and the range of event times to replay. With ``dry_run``, deliveries are only counted."""

    webhooks = StrictListField(child=StrictCharField(max_length=36), min_length=1, max_length=MAX_WEBHOOKS)
    kind = StrictChoiceField(choices=[kind.value for kind in (JobKind.RECOVER, JobKind.REPLAY_MISSED)])


class SendTestSerializer(StrictSerializer):
    """The event type whose sample is sent, and fields that replace those of the sample."""

    event_type = StrictCharField(required=False, default=TEST, max_length=100)
    body: Any = JSONObjectField(required=False)


def send_test_data(test_send: TestSendResult, event_type: str, *, shows_payloads: bool) -> dict[str, Any]:
    """Return the response of a test send. Bodies are null unless ``shows_payloads``."""
    result = test_send.result
    return {
        "success": result.outcome.success,
        "status_code": result.status,
        "error_class": result.outcome.error_class or "",
        "message": result.outcome.message,
        "started_at": format_utc(result.started_at),
        "duration_ms": milliseconds(result.seconds),
        "timing_ms": timing_in_ms(result.timing),
        "delivery": test_send.delivery.public_id,
        "event": test_send.delivery.event.public_id,
        "event_type": event_type,
        "request": {
            "method": result.request.endpoint.verb,
            "headers": dict(test_send.signed),
            "body": test_send.body.decode() if shows_payloads else None,
        },
        "response_body": result.body if shows_payloads else None,
        "healed": test_send.healed,
    }
