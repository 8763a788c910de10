"""The actions that try a webhook out: test, preview, explain and dry run."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rest_framework.exceptions import PermissionDenied

from tms_webhooks.access import covers
from tms_webhooks.api.filters import referenced, visible_events
from tms_webhooks.api.problems import invalid_parameter
from tms_webhooks.api.schema.resources import row_action
from tms_webhooks.api.schema.shim import parameter
from tms_webhooks.api.serializers.actions import PreviewSerializer, SendTestSerializer, SubscriptionDryRunSerializer
from tms_webhooks.api.serializers.base import EventIDField
from tms_webhooks.api.serializers.results import (
    DryRunReportSerializer,
    ExplainedEventSerializer,
    RequestPreviewSerializer,
    TestSendResultSerializer,
)
from tms_webhooks.api.views.resource import ResourceViewSet
from tms_webhooks.choices import Action
from tms_webhooks.db import clock
from tms_webhooks.documents.request_preview import preview_of_event
from tms_webhooks.manage.tests import send_test
from tms_webhooks.models import Event, Subscription, Webhook
from tms_webhooks.outbox.example_events import example_event, first_type
from tms_webhooks.routing.explain import dry_run, explain

EXPLAINED_EVENT = parameter("event", EventIDField.json_schema, "The event to explain.")
EXPLAINED_TYPE = parameter(
    "event_type",
    {"type": "string", "examples": ["class.cancelled"]},
    "Instead of `event`: the type of an event that has not happened. Without `subject`, it is the sample of the type.",
)
EXPLAINED_SUBJECT = parameter(
    "subject", {"type": "string", "examples": ["class:8840"]}, "The object that the event of this type would be about."
)

EXPLAIN_PARAMETERS = (EXPLAINED_EVENT, EXPLAINED_TYPE, EXPLAINED_SUBJECT)


class ExampleViewSet(ResourceViewSet):
    """Adds the actions to a viewset of webhooks."""

    @row_action(TestSendResultSerializer, body=SendTestSerializer, atomic=False)
    def test(self, **body: Any) -> Any:
        """Send a test event to a webhook now and return the result. The delivery log contains it, too."""
        webhook = self.get_object()
        sent = send_test(webhook, actor=self.actor, **{"event_type": first_type(webhook), **body})
        shows_payloads = self.allows(Action.VIEW_PAYLOAD, webhook.organization_id)
        if "subject" in body:
            shows_payloads = shows_payloads and covers(self.organizations(Action.VIEW_PAYLOAD), webhook)
        self.more_context = {"shows_payloads": shows_payloads}
        return sent

    @row_action(RequestPreviewSerializer, body=PreviewSerializer, atomic=False)
    def preview(self, **body: Any) -> Any:
        """Return the request that a webhook would get for an event. Nothing is sent or recorded."""
        webhook = self.get_object()
        if "subject" in body:
            self.require(Action.VIEW_PAYLOAD, webhook.organization_id)
            self.require_children(Action.VIEW_PAYLOAD, webhook)
        tried = copy.copy(webhook)
        tried.format = body.get("format", webhook.format)
        now = clock.measured_now()
        event = self._example(webhook, body)
        preview = preview_of_event(tried, event, now=now)
        return {**asdict(preview), "event_type": event.type, "body": None if preview.problem else preview.body}

    @row_action(ExplainedEventSerializer)
    def explain(self) -> Any:
        """Return why a webhook receives an event or not, check by check, by its current settings."""
        webhook = self.get_object()
        event = self._event_to_explain(webhook)
        explanation, self.more_context = explain(webhook, event), {"webhook": webhook}
        key = None if explanation.is_example else event.public_id
        return {"event": key, "event_type": event.type, "explanation": explanation}

    @row_action(DryRunReportSerializer, body=SubscriptionDryRunSerializer, atomic=False, url_path="dry-run")
    def dry_run(self, **body: Any) -> Any:
        """Return the latest events that the subscriptions would have matched, and the failed checks of the others. Nothing is sent or recorded."""
        webhook = self.get_object()
        subscriptions = (
            [Subscription(webhook=webhook, **one) for one in body["subscriptions"]]
            if "subscriptions" in body
            else list(webhook.subscriptions.order_by("pk"))
        )
        return dry_run(webhook, subscriptions, latest=body["latest"])

    def _event_to_explain(self, webhook: Webhook) -> Event:
        """Return the event of the query: a recorded one whose payload the caller may see, or one that has not happened."""
        given = self.request.query_params.dict()
        if ("event" in given) is ("event_type" in given) or {"event", "subject"} <= set(given):
            raise invalid_parameter("event", "required", "Give event, or event_type with an optional subject.")
        if "event" not in given:
            if "subject" in given:
                self.require_children(Action.VIEW_PAYLOAD, webhook)
            return self._example(webhook, given)
        event: Event = referenced(visible_events(self), given["event"], EXPLAINED_EVENT.name)
        if not self.may_see_payload(webhook, event):
            raise PermissionDenied("You may view this event, but you lack the permission 'view_payload' for it.")
        return event

    def _example(self, webhook: Webhook, values: Mapping[str, Any]) -> Event:
        event_type, subject = values.get("event_type") or first_type(webhook), values.get("subject", "")
        return example_event(webhook, event_type, subject=subject, actor=self.actor, now=clock.measured_now())
