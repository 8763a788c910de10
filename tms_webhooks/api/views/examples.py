"""The actions that try a webhook out: test, preview, explain and dry run."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rest_framework.decorators import action
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.response import Response

from tms_webhooks.access import covers
from tms_webhooks.api.problems import Conflict, ErrorItem, UnknownReference
from tms_webhooks.api.schema import shapes
from tms_webhooks.api.schema.resources import extend_schema
from tms_webhooks.api.serializers.examples import PreviewSerializer, SendTestSerializer, preview_data, send_test_data
from tms_webhooks.api.serializers.strict import to_drf_detail
from tms_webhooks.api.views.resource import ResourceViewSet
from tms_webhooks.catalogue import registry
from tms_webhooks.choices import Action, AuditAction, PayloadFormat
from tms_webhooks.db import clock
from tms_webhooks.delivery import rendering
from tms_webhooks.event_names import TEST
from tms_webhooks.exceptions import PayloadError, PullOnlyWebhook, SubjectError, UnknownEventType
from tms_webhooks.models import Event, Webhook
from tms_webhooks.outbox.example_events import example_event
from tms_webhooks.routing.explain import Explanation, explain
from tms_webhooks.worker.request_preview import preview_of_event
from tms_webhooks.worker.test_send import TestSendResult, send_test


class ExampleViewSet(ResourceViewSet):
    """Adds the actions to a viewset of webhooks."""

    @extend_schema(request=SendTestSerializer, responses={200: shapes.TEST_SEND_RESULT})
    @action(detail=True, methods=["post"])
    def test(self, request: Any, pk: str) -> Response:
        """Send a test event to a webhook now and return the result. The delivery log contains it, too."""
        webhook = self.get_object()
        body = self.read(SendTestSerializer)
        if "subject" in body:
            self.require_children(Action.MANAGE, webhook)
        sent = self._send_test(webhook, body)
        self._audit_test(webhook, body, sent)
        shows_payloads = self.allows(Action.VIEW_PAYLOAD, webhook.organization_id)
        if "subject" in body:
            shows_payloads = shows_payloads and covers(self.organizations(Action.VIEW_PAYLOAD), webhook)
        data = send_test_data(sent, _explanation_of(sent, webhook), webhook, shows_payloads=shows_payloads)
        return Response(data)

    @extend_schema(request=PreviewSerializer, responses={200: shapes.REQUEST_PREVIEW})
    @action(detail=True, methods=["post"])
    def preview(self, request: Any, pk: str) -> Response:
        """Return the request that a webhook would get for an event. Nothing is sent or recorded."""
        webhook = self.get_object()
        body = self.read(PreviewSerializer)
        if "subject" in body:
            self.require(Action.VIEW_PAYLOAD, webhook.organization_id)
            self.require_children(Action.VIEW_PAYLOAD, webhook)
        tried, now = _with_format(webhook, body), clock.measured_now()
        event = self._example(webhook, body, now=now)
        return Response(preview_data(preview_of_event(tried, event, now=now), event.type))

    def _example(self, webhook: Webhook, body: Mapping[str, Any], *, now: datetime) -> Event:
        with _reported(body):
            return example_event(
                webhook,
                body["event_type"],
                subject=body.get("subject", ""),
                body=body.get("body"),
                actor=self.policy.caller(self.request),
                now=now,
            )

    def _send_test(self, webhook: Webhook, body: Mapping[str, Any]) -> TestSendResult:
        with _reported(body):
            return send_test(webhook, actor=self.policy.caller(self.request), **body)

    def _audit_test(self, webhook: Webhook, body: Mapping[str, Any], sent: TestSendResult) -> None:
        changes = {"event_type": body["event_type"], "status_code": sent.result.status}
        if "subject" in body:
            changes["subject"] = body["subject"]
        self.audit(AuditAction.WEBHOOK_TESTED, webhook, target=f"delivery:{sent.delivery.public_id}", changes=changes)


@contextmanager
def _reported(body: Mapping[str, Any]) -> Iterator[None]:
    """Report the errors of `example_event` and `send_test` as problems with the fields of a body."""
    try:
        yield
    except PullOnlyWebhook as error:
        raise Conflict(str(error)) from error
    except UnknownEventType as error:
        raise _invalid("event_type", error, code="unknown") from error
    except SubjectError as error:
        if error.code != SubjectError.NOT_FOUND:
            raise _invalid("subject", error, code=error.code) from error
        item = ErrorItem("pointer", "#/subject", "unknown", str(error))
        raise UnknownReference("The object does not exist.", errors=[item]) from error
    except PayloadError as error:
        name = "subject" if "subject" in body and "body" not in body else "body"
        raise _invalid(name, error, code="schema") from error


def _with_format(webhook: Webhook, body: Mapping[str, Any]) -> Webhook:
    """Return an unsaved copy of a webhook with the format and the content of a body; raise for invalid content."""
    tried = copy.copy(webhook)
    tried.format = body.get("format", webhook.format)
    if "content" not in body:
        if tried.format == PayloadFormat.CUSTOM != webhook.format:
            raise _invalid("content", "The format custom needs content; give the content to try.", code="required")
        return tried
    if tried.format != PayloadFormat.CUSTOM:
        raise _invalid("content", "Only the format custom has content; omit it, or choose that format.", code="format")
    tried.content = body["content"]
    problems = rendering.problems_of(tried, registry.all_types())
    details = {} if problems is None else to_drf_detail(problems)
    if "content" in details:
        raise ValidationError({"content": details["content"]})
    return tried


def _invalid(name: str, error: object, *, code: str) -> ValidationError:
    return ValidationError({name: [ErrorDetail(str(error), code=code)]})


def _explanation_of(sent: TestSendResult, webhook: Webhook) -> Explanation | None:
    """Return why the webhook would receive the event of a test or not, if it were real; None for an event of tests alone."""
    return None if sent.imitated.type == TEST else explain(webhook, sent.imitated)
