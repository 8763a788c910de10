"""The actions that try a webhook out: test, preview, explain and dry run."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response

from tms_webhooks.access import covers
from tms_webhooks.api.problems import ErrorItem, Problem, invalid_parameter, unknown_reference
from tms_webhooks.api.schema.resources import extend_schema, post_action
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
from tms_webhooks.exceptions import PayloadError, SubjectError, UnknownEventType
from tms_webhooks.manage.tests import send_test
from tms_webhooks.models import Event, Subscription, Webhook
from tms_webhooks.models.audience import visible_to
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

    @post_action(SendTestSerializer, TestSendResultSerializer, atomic=False)
    def test(self, body: Any) -> Response:
        """Send a test event to a webhook now and return the result. The delivery log contains it, too."""
        webhook = self.get_object()
        with _reported("pointer"):
            sent = send_test(webhook, actor=self.actor, **{"event_type": first_type(webhook), **body})
        shows_payloads = self.allows(Action.VIEW_PAYLOAD, webhook.organization_id)
        if "subject" in body:
            shows_payloads = shows_payloads and covers(self.organizations(Action.VIEW_PAYLOAD), webhook)
        context = {**self.get_serializer_context(), "shows_payloads": shows_payloads}
        return Response(TestSendResultSerializer(sent, context=context).data)

    @post_action(PreviewSerializer, RequestPreviewSerializer, atomic=False)
    def preview(self, body: Any) -> Response:
        """Return the request that a webhook would get for an event. Nothing is sent or recorded."""
        webhook = self.get_object()
        if "subject" in body:
            self.require(Action.VIEW_PAYLOAD, webhook.organization_id)
            self.require_children(Action.VIEW_PAYLOAD, webhook)
        tried = copy.copy(webhook)
        tried.format = body.get("format", webhook.format)
        now = clock.measured_now()
        with _reported("pointer"):
            event = self._example(webhook, body)
        preview = preview_of_event(tried, event, now=now)
        answer = {**asdict(preview), "event_type": event.type}
        if preview.problem:
            answer["body"] = None
        return Response(RequestPreviewSerializer(answer).data)

    @extend_schema(responses=ExplainedEventSerializer)
    @action(detail=True)
    def explain(self, request: Any, pk: str) -> Response:
        """Return why a webhook receives an event or not, check by check, by its current settings."""
        webhook = self.get_object()
        event = self._event_to_explain(webhook)
        explanation = explain(webhook, event)
        answer = {
            "event": None if explanation.is_example else event.public_id,
            "event_type": event.type,
            "explanation": explanation,
        }
        return Response(ExplainedEventSerializer(answer, context={"webhook": webhook}).data)

    @post_action(SubscriptionDryRunSerializer, DryRunReportSerializer, atomic=False, url_path="dry-run")
    def dry_run(self, body: Any) -> Response:
        """Return the latest events that the subscriptions would have matched, and the failed checks of the others. Nothing is sent or recorded."""
        webhook = self.get_object()
        subscriptions = (
            [Subscription(webhook=webhook, **one) for one in body["subscriptions"]]
            if "subscriptions" in body
            else list(webhook.subscriptions.order_by("pk"))
        )
        report = dry_run(webhook, subscriptions, latest=body["latest"])
        return Response(DryRunReportSerializer(report).data)

    def _event_to_explain(self, webhook: Webhook) -> Event:
        """Return the event of the query: a recorded one whose payload the caller may see, or one that has not happened."""
        given = self.request.query_params.dict()
        if ("event" in given) is ("event_type" in given) or {"event", "subject"} <= set(given):
            raise invalid_parameter("event", "required", "Give event, or event_type with an optional subject.")
        if "event" not in given:
            if "subject" in given:
                self.require_children(Action.VIEW_PAYLOAD, webhook)
            with _reported("parameter"):
                return self._example(webhook, given)
        visible = Event.objects.filter(visible_to(self.organizations(Action.VIEW).order_by().values("pk")))
        event = visible.filter(Event.by_public_id(given["event"])).first()
        if event is None:
            raise unknown_reference("parameter", "event", "Unknown event; use the id of one of yours.")
        if not self.may_see_payload(webhook, event):
            raise PermissionDenied("You may view this event, but you lack the permission 'view_payload' for it.")
        return event

    def _example(self, webhook: Webhook, values: Mapping[str, Any]) -> Event:
        event_type, subject = values.get("event_type") or first_type(webhook), values.get("subject", "")
        return example_event(webhook, event_type, subject=subject, actor=self.actor, now=clock.measured_now())


@contextmanager
def _reported(location: str) -> Iterator[None]:
    """Raise an error of `example_event` or `send_test` as the problem of the value that causes it.

    ``location`` is "pointer" for the fields of a body, and "parameter" for those of a query.
    """
    try:
        yield
    except (UnknownEventType, SubjectError, PayloadError) as error:
        name = "event_type" if isinstance(error, UnknownEventType) else "subject"
        place = f"#/{name}" if location == "pointer" else name
        code = error.code if isinstance(error, SubjectError) else "unknown" if name == "event_type" else "schema"
        if code == SubjectError.NOT_FOUND:
            raise unknown_reference(location, place, str(error)) from error
        raise Problem("invalid-request", errors=[ErrorItem(location, place, code, str(error))]) from error
