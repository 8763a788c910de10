"""The actions that try a webhook out: test, preview, explain and dry run."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from itertools import islice
from typing import Any

from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied, ValidationError
from rest_framework.response import Response

from tms_webhooks.access import covers
from tms_webhooks.api.filters import malformed_parameter
from tms_webhooks.api.problems import ErrorItem, InvalidRequest, UnknownReference, unknown_name_message
from tms_webhooks.api.schema.resources import extend_schema, post_action
from tms_webhooks.api.schema.shim import parameter
from tms_webhooks.api.serializers.actions import (
    PreviewSerializer,
    SendTestSerializer,
    SubscriptionDryRunSerializer,
)
from tms_webhooks.api.serializers.base import MAX_UNKNOWN_FIELDS, EventIDField, Path, invalid, nested, to_drf_detail
from tms_webhooks.api.serializers.results import (
    DryRunReportSerializer,
    ExplainedEventSerializer,
    RequestPreviewSerializer,
    TestSendResultSerializer,
)
from tms_webhooks.api.serializers.webhooks import CONTENT_OF_OTHER_FORMAT
from tms_webhooks.api.views.resource import ResourceViewSet
from tms_webhooks.catalogue import registry
from tms_webhooks.choices import Action, PayloadFormat
from tms_webhooks.db import clock
from tms_webhooks.delivery import rendering
from tms_webhooks.event_names import TEST
from tms_webhooks.exceptions import PayloadError, SchemaError, SubjectError, UnknownEventType
from tms_webhooks.manage.tests import send_test
from tms_webhooks.models import Event, Subscription, Webhook
from tms_webhooks.models.audience import visible_to
from tms_webhooks.outbox.example_events import example_event, first_type
from tms_webhooks.routing.dry_run import dry_run_of
from tms_webhooks.routing.explain import explain
from tms_webhooks.worker.request_preview import preview_of_event

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
        body = {"event_type": first_type(webhook), **body}
        with _reported(body):
            _refuse_unknown_fields(body)
            sent = send_test(webhook, actor=self.actor, **body)
        shows_payloads = self.allows(Action.VIEW_PAYLOAD, webhook.organization_id)
        is_explained = sent.imitated.type != TEST
        if "subject" in body:
            shows_payloads = shows_payloads and covers(self.organizations(Action.VIEW_PAYLOAD), webhook)
            is_explained = is_explained and shows_payloads
        explanation = explain(webhook, sent.imitated) if is_explained else None
        context = {**self.get_serializer_context(), "webhook": webhook, "shows_payloads": shows_payloads}
        return Response(TestSendResultSerializer({"sent": sent, "explanation": explanation}, context=context).data)

    @post_action(PreviewSerializer, RequestPreviewSerializer, atomic=False)
    def preview(self, body: Any) -> Response:
        """Return the request that a webhook would get for an event. Nothing is sent or recorded."""
        webhook = self.get_object()
        body = {"event_type": first_type(webhook), **body}
        if "subject" in body:
            self.require(Action.VIEW_PAYLOAD, webhook.organization_id)
            self.require_children(Action.VIEW_PAYLOAD, webhook)
        tried, now = _with_format(webhook, body), clock.measured_now()
        with _reported(body):
            _refuse_unknown_fields(body)
            event = self._example(webhook, body, now=now)
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
        report = dry_run_of(webhook, subscriptions, latest=body["latest"])
        return Response(DryRunReportSerializer(report, context={"subscriptions": subscriptions}).data)

    def _event_to_explain(self, webhook: Webhook) -> Event:
        """Return the event of the query: a recorded one whose payload the caller may see, or one that has not happened."""
        query = self.request.query_params
        given = {one.name: query[one.name] for one in EXPLAIN_PARAMETERS if one.name in query}
        errors = [item for name in given if (item := malformed_parameter(name, query.getlist(name)))]
        if errors:
            raise InvalidRequest("A parameter is invalid.", *errors)
        if ("event" in given) is ("event_type" in given) or ("event" in given and "subject" in given):
            detail = "Give event, or event_type with an optional subject."
            raise InvalidRequest(detail, ErrorItem("parameter", "event", "required", detail))
        if "event" not in given:
            if "subject" in given:
                self.require_children(Action.VIEW_PAYLOAD, webhook)
            with _reported(given, place="parameter"):
                return self._example(webhook, given, now=clock.measured_now())
        visible = Event.objects.filter(visible_to(self.organizations(Action.VIEW).order_by().values("pk")))
        event = visible.filter(Event.by_public_id(given["event"])).first()
        if event is None:
            raise UnknownReference(
                "The event does not exist.",
                ErrorItem("parameter", "event", "unknown", "Unknown event; use the id of one of yours."),
            )
        if not self.may_see_payload(webhook, event):
            raise PermissionDenied("You may view this event, but you lack the permission 'view_payload' for it.")
        return event

    def _example(self, webhook: Webhook, values: Mapping[str, Any], *, now: datetime) -> Event:
        return example_event(
            webhook,
            values["event_type"],
            subject=values.get("subject", ""),
            body=values.get("body"),
            actor=self.actor,
            now=now,
        )


@contextmanager
def _reported(values: Mapping[str, Any], *, place: str = "pointer") -> Iterator[None]:
    """Report the errors of `example_event` and `send_test` as problems with these values.

    ``place`` is "pointer" for the fields of a body, and "parameter" for those of a query.
    """
    try:
        yield
    except (UnknownEventType, SubjectError, PayloadError) as error:
        raise _problem_of(error, values, place) from error


def _problem_of(error: Exception, values: Mapping[str, Any], place: str) -> Exception:
    """Return the problem of an error, at the value that causes it."""
    in_body = place == "pointer"
    name, code = "body" if "body" in values else "subject", "schema"
    if isinstance(error, UnknownEventType):
        name, code = "event_type", "unknown"
    elif isinstance(error, SubjectError):
        name, code = "subject", error.code
        if code == SubjectError.NOT_FOUND:
            item = ErrorItem(place, "#/subject" if in_body else name, "unknown", str(error))
            return UnknownReference("The object does not exist.", item)
    elif isinstance(error, SchemaError):
        parts = [
            (("body", *path), f"The event breaks its schema: {text}.", code)
            for path, text in error.reasons
            if _is_in(values, path)
        ]
        if parts and in_body:
            return ValidationError(nested(parts))
    elif "subject" not in values:
        name = "body"
    if in_body:
        return invalid([name], error=error, code=code)
    return InvalidRequest(f"{name}: {error}", ErrorItem(place, name, code, str(error)))


def _refuse_unknown_fields(values: Mapping[str, Any]) -> None:
    """Raise ``ValidationError`` for fields of a body that the schema of its event type does not name."""
    if "body" in values:
        unknown = _unknown_fields(values["body"], registry.get(values["event_type"]).schema(), ("body",))
        if parts := list(islice(unknown, MAX_UNKNOWN_FIELDS)):
            raise ValidationError(nested(parts))


def _unknown_fields(value: Any, schema: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, str, str]]:
    """Yield the path, the error and its code for each field that a schema does not name, at each depth."""
    if isinstance(value, list):
        for index, one in enumerate(value):
            yield from _unknown_fields(one, schema.get("items", {}), (*path, index))
    elif isinstance(value, Mapping) and "properties" in schema:
        known = schema["properties"]
        for name, one in value.items():
            if name in known:
                yield from _unknown_fields(one, known[name], (*path, name))
            else:
                yield (*path, name), unknown_name_message(name, known, kind="field"), "unknown"


def _is_in(values: Mapping[str, Any], path: Path) -> bool:
    """Return whether a value at this path of the event is one that the body replaces."""
    found: Any = values.get("body")
    for step in path:
        try:
            found = found[step]
        except (KeyError, IndexError, TypeError):
            return False
    return bool(path)


def _with_format(webhook: Webhook, body: Mapping[str, Any]) -> Webhook:
    """Return an unsaved copy of a webhook with the format and the content of a body; raise for invalid content."""
    tried = copy.copy(webhook)
    tried.format = body.get("format", webhook.format)
    if "content" not in body:
        if tried.format == PayloadFormat.CUSTOM != webhook.format:
            raise invalid(
                ["content"], error="The format custom needs content; give the content to try.", code="required"
            )
        return tried
    if tried.format != PayloadFormat.CUSTOM:
        raise invalid(["content"], error=CONTENT_OF_OTHER_FORMAT, code="format")
    tried.content, tried.contents = body["content"], {}
    problems = rendering.problems_of(tried, registry.all_types())
    details = {} if problems is None else to_drf_detail(problems)
    if "content" in details:
        raise ValidationError({"content": details["content"]})
    return tried
