"""The actions that try a webhook out: test, preview, explain and dry run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rest_framework.decorators import action
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.response import Response

from tms_webhooks.access import covers
from tms_webhooks.api.problems import Conflict, ErrorItem, UnknownReference
from tms_webhooks.api.schema import shapes
from tms_webhooks.api.schema.resources import extend_schema
from tms_webhooks.api.serializers.examples import SendTestSerializer, send_test_data
from tms_webhooks.api.views.resource import ResourceViewSet
from tms_webhooks.choices import Action, AuditAction
from tms_webhooks.event_names import TEST
from tms_webhooks.exceptions import PayloadError, PullOnlyWebhook, SubjectError, UnknownEventType
from tms_webhooks.models import Webhook
from tms_webhooks.routing.explain import Explanation, explain
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


def _invalid(name: str, error: Exception, *, code: str) -> ValidationError:
    return ValidationError({name: [ErrorDetail(str(error), code=code)]})


def _explanation_of(sent: TestSendResult, webhook: Webhook) -> Explanation | None:
    """Return why the webhook would receive the event of a test or not, if it were real; None for an event of tests alone."""
    return None if sent.imitated.type == TEST else explain(webhook, sent.imitated)
