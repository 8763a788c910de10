"""The request bodies and responses of the actions that try a webhook out: test, preview, explain and dry run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tms_webhooks.api.serializers.fields import (
    JSONObjectField,
    StrictCharField,
    StrictChoiceField,
    StrictIntegerField,
    format_utc,
    milliseconds,
    timing_in_ms,
)
from tms_webhooks.api.serializers.strict import StrictSerializer
from tms_webhooks.api.serializers.webhooks import subscription_list
from tms_webhooks.choices import PayloadFormat
from tms_webhooks.conf import app_settings
from tms_webhooks.models import Event, Subscription, Webhook
from tms_webhooks.routing.dry_run import LATEST_OF_ALL, MOST_OF_ALL, DryRunReport
from tms_webhooks.routing.explain import Explanation
from tms_webhooks.validators import LONGEST_CONTENT
from tms_webhooks.worker.request_preview import RequestPreview
from tms_webhooks.worker.test_send import TestSendResult

LONGEST_SUBJECT = 300
"""The maximum length of a subject in characters."""


class SendTestSerializer(StrictSerializer):
    """The event to send: its type, its object, and values to replace. Without an object, the sample of the type is sent.

    Without a type, it is the first that the webhook subscribes to; `webhook.test` if it subscribes to none.
    """

    event_type = StrictCharField(required=False, max_length=100)
    subject = StrictCharField(required=False, max_length=LONGEST_SUBJECT)
    body: Any = JSONObjectField(required=False)


class PreviewSerializer(SendTestSerializer):
    """The event to preview, and a format or custom content to try. By default those of the webhook."""

    format = StrictChoiceField(required=False, choices=PayloadFormat.choices)
    content = StrictCharField(required=False, allow_blank=True, max_length=LONGEST_CONTENT)


class SubscriptionDryRunSerializer(StrictSerializer):
    """The subscriptions to try, by default those of the webhook, and how many of the latest events to examine."""

    subscriptions = subscription_list()
    latest = StrictIntegerField(required=False, default=LATEST_OF_ALL, min_value=1, max_value=MOST_OF_ALL)

    def get_fields(self) -> dict[str, Any]:
        """Return the fields, with the limit of subscriptions that applies."""
        fields: dict[str, Any] = super().get_fields()
        fields["subscriptions"].max_length = app_settings.SUBSCRIPTIONS_LIMIT
        return fields


def send_test_data(
    test_send: TestSendResult, explanation: Explanation | None, webhook: Webhook, *, shows_payloads: bool
) -> dict[str, Any]:
    """Return the response of a test send. Bodies are null unless ``shows_payloads``.

    ``explanation`` says whether the webhook would receive the event if it were real. It is None for an event that is only
    for tests, and for a caller who may not see its payload.
    """
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
        "event_type": test_send.imitated.type,
        "request": {
            "method": result.request.endpoint.verb,
            "headers": dict(test_send.signed),
            "body": test_send.body.decode() if shows_payloads else None,
        },
        "response_body": result.body if shows_payloads else None,
        "healed": test_send.healed,
        "explanation": None if explanation is None else explanation_data(explanation, webhook),
    }


def preview_data(preview: RequestPreview, event_type: str) -> dict[str, Any]:
    """Return the response of a preview; ``body`` is null if the request can't be built."""
    return {
        "event_type": event_type,
        "method": preview.method,
        "url": preview.url,
        "headers": dict(preview.headers),
        "body": None if preview.problem else preview.body,
        "empty_tokens": list(preview.empty_tokens),
        "problem": preview.problem,
    }


def explanation_data(explanation: Explanation, webhook: Webhook) -> dict[str, Any]:
    """Return an explanation with one item for each check."""
    ids = {one.pk: one.public_id for one in webhook.subscriptions.all()}
    return {
        "verdict": explanation.verdict.value,
        "summary": explanation.summary,
        "checks": [
            {
                "name": clause.name,
                "verdict": clause.verdict.value,
                "detail": clause.sentence,
                "subscription": None if clause.subscription_id is None else ids.get(clause.subscription_id),
            }
            for clause in explanation.clauses
        ],
    }


def explained_event_data(explanation: Explanation, webhook: Webhook, event: Event) -> dict[str, Any]:
    """Return the explanation of an event. An event that has not happened has no id."""
    delivery = explanation.delivery
    return {
        "event": None if explanation.is_example else event.public_id,
        "event_type": event.type,
        "delivery": None if delivery is None else {"id": delivery.public_id, "status": delivery.status},
        **explanation_data(explanation, webhook),
    }


def dry_run_data(report: DryRunReport, subscriptions: Sequence[Subscription]) -> dict[str, Any]:
    """Return the response of a dry run."""
    return {
        "examined": report.examined,
        "matched": len(report.events),
        "complete": report.is_complete,
        "types": [
            {"event_type": name, "examined": count, "matched": report.matched_by_type[name]}
            for name, count in sorted(report.examined_by_type.items())
        ],
        "misses": [
            {
                "name": reason.name,
                "detail": reason.sentence,
                "events": count,
                "position": reason.subscription,
                "subscription": _public_id(subscriptions, reason.subscription),
            }
            for reason, count in report.main_reasons
        ],
        "events": [event.public_id for event in report.events],
    }


def _public_id(subscriptions: Sequence[Subscription], position: int | None) -> str | None:
    """Return the id of a stored subscription."""
    if position is None or subscriptions[position]._state.adding:
        return None
    return subscriptions[position].public_id
