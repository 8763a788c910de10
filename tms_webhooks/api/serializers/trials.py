"""Tests: what to send, and what came of it."""

from __future__ import annotations

from typing import Any

from tms_webhooks.api.serializers.bases import StrictSerializer
from tms_webhooks.api.serializers.fields import ObjectField, TextField, milliseconds, moment_text, timing_told
from tms_webhooks.event_names import TEST
from tms_webhooks.worker.test_send import TestSendResult


class TrialSerializer(StrictSerializer):
    """An event type, whose sample is sent, or a whole event that fits its schema."""

    event_type = TextField(required=False, default=TEST, max_length=100)
    body: Any = ObjectField(required=False)


def trial_told(trial: TestSendResult, event_type: str, *, shows_payloads: bool) -> dict[str, Any]:
    """Return what came of a test. Bodies are for those who may see payloads; null for others."""
    result = trial.result
    return {
        "success": result.outcome.success,
        "status_code": result.status,
        "error_class": result.outcome.error_class or "",
        "message": result.outcome.message,
        "started_at": moment_text(result.started_at),
        "duration_ms": milliseconds(result.seconds),
        "timing_ms": timing_told(result.timing),
        "delivery": str(trial.delivery.pk),
        "event": trial.delivery.event.public_id,
        "event_type": event_type,
        "request": {
            "method": result.request.endpoint.verb,
            "headers": dict(trial.signed),
            "body": trial.body.decode() if shows_payloads else None,
        },
        "response_body": result.body if shows_payloads else None,
        "healed": trial.healed,
    }
