"""What can be done with one webhook, beside changing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone
from rest_framework.decorators import action
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.response import Response

from tms_webhooks.actors import Actor
from tms_webhooks.api.problems import Conflict
from tms_webhooks.api.schema import shapes
from tms_webhooks.api.schema.parameters import ETAG, IF_MATCH, LOCATION
from tms_webhooks.api.schema.shim import extend_schema
from tms_webhooks.api.serializers.fields import moment_text
from tms_webhooks.api.serializers.requests import (
    CancellationSerializer,
    NothingSerializer,
    RangeSerializer,
    RotationSerializer,
)
from tms_webhooks.api.serializers.trials import TrialSerializer, trial_told
from tms_webhooks.api.views.jobs import JOB_OR_COUNT, Replaying
from tms_webhooks.api.views.one_webhook import OneWebhookViewSet
from tms_webhooks.choices import Action, AuditAction, DisabledReason, JobKind
from tms_webhooks.conf import app_settings
from tms_webhooks.delivery import lifecycle
from tms_webhooks.exceptions import PayloadError, SecretError, UnknownEventType
from tms_webhooks.models import Webhook
from tms_webhooks.monitoring.stats import stats
from tms_webhooks.worker.test_send import TestSendResult, outside_transactions, send_test


class WebhookVerbs(Replaying, OneWebhookViewSet):
    """The verbs of a webhook, each at an address of its own below it."""

    needs = {
        "test": Action.MANAGE,
        "enable": Action.MANAGE,
        "disable": Action.MANAGE,
        "rotate_secret": Action.MANAGE,
        "secret": Action.REVEAL_SECRET,
        "recover": Action.REPLAY,
        "replay_missed": Action.REPLAY,
        "cancel_pending": Action.REPLAY,
    }

    @classmethod
    def as_view(cls, actions: Any = None, **initkwargs: Any) -> Any:
        """Return a view of these actions. A test waits for its receiver, and no transaction of the host's with it."""
        view = super().as_view(actions, **initkwargs)
        return outside_transactions(view) if "test" in (actions or {}).values() else view

    @extend_schema(request=NothingSerializer, parameters=[IF_MATCH, ETAG])
    @action(detail=True, methods=["post"])
    def enable(self, request: Any, pk: str) -> Response:
        """Enable it, and forget its failures. What it missed stays skipped until it is replayed."""
        self.read(NothingSerializer)
        return self.commit(self._enable)

    @extend_schema(request=NothingSerializer, parameters=[IF_MATCH, ETAG])
    @action(detail=True, methods=["post"])
    def disable(self, request: Any, pk: str) -> Response:
        """Send it nothing more. What waits and what happens from now on is kept as skipped."""
        self.read(NothingSerializer)
        return self.commit(self._disable)

    @extend_schema(request=RotationSerializer, responses={200: shapes.ROTATION}, parameters=[IF_MATCH])
    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, request: Any, pk: str) -> Response:
        """Give it a new secret, which is in the answer and nowhere else; the old one goes on signing for a while."""
        seconds = self.read(RotationSerializer).get("overlap_seconds", int(app_settings.SECRET_OVERLAP))
        return self.commit(lambda: self._rotate(timedelta(seconds=seconds)))

    @extend_schema(responses={200: shapes.REVELATION, 409: shapes.PROBLEM})
    @action(detail=True, methods=["get"])
    def secret(self, request: Any, pk: str) -> Response:
        """Show its secret again. That this was done, and by whom, is in the audit log."""
        return self.commit(self._reveal)

    @extend_schema(request=RangeSerializer, responses=JOB_OR_COUNT, parameters=[LOCATION])
    @action(detail=True, methods=["post"])
    def recover(self, request: Any, pk: str) -> Response:
        """Send again what failed in a range of time, as a job."""
        return self.replay(JobKind.RECOVER, self.get_object(), self.read(RangeSerializer))

    @extend_schema(request=RangeSerializer, responses=JOB_OR_COUNT, parameters=[LOCATION])
    @action(detail=True, methods=["post"], url_path="replay-missed")
    def replay_missed(self, request: Any, pk: str) -> Response:
        """Send what it asks for today and was never sent, as a job."""
        return self.replay(JobKind.REPLAY_MISSED, self.get_object(), self.read(RangeSerializer))

    @extend_schema(request=CancellationSerializer, responses=JOB_OR_COUNT, parameters=[LOCATION])
    @action(detail=True, methods=["post"], url_path="cancel-pending")
    def cancel_pending(self, request: Any, pk: str) -> Response:
        """Call off what waits for it, as a job."""
        return self.replay(JobKind.CANCEL_PENDING, self.get_object(), self.read(CancellationSerializer))

    @extend_schema(request=TrialSerializer, responses={200: shapes.TRIAL})
    @action(detail=True, methods=["post"])
    def test(self, request: Any, pk: str) -> Response:
        """Send it a test now, and answer with what came of it. In the log it is a delivery like any other."""
        webhook = self.get_object()
        asked = self.read(TrialSerializer)
        trial = _tried(webhook, asked["event_type"], asked.get("body"), actor=self.policy.caller(request))
        facts = {"event_type": asked["event_type"], "status_code": trial.result.status}
        self.audit(AuditAction.WEBHOOK_TESTED, webhook, target=f"delivery:{trial.delivery.pk}", changes=facts)
        shows = self.allows(Action.VIEW_PAYLOAD, webhook.organization_id)
        return Response(trial_told(trial, asked["event_type"], shows_payloads=shows))

    @extend_schema(responses={200: shapes.STATS})
    @action(detail=True, methods=["get"])
    def stats(self, request: Any, pk: str) -> Response:
        """Return the figures of its deliveries."""
        now = timezone.now()
        found = stats(now=now, webhook=self.get_object())
        (numbers,) = found.webhooks
        data = {**asdict(numbers), "lag": asdict(found.lag), "as_of": moment_text(now)}
        for name in ("id", "name", "organization"):
            del data[name]
        for name in ("day", "month", "lag"):
            data[name]["starts_at"] = moment_text(data[name]["starts_at"])
        return Response(data)

    def _enable(self) -> Response:
        webhook = self.locked()
        lifecycle.enable(webhook, actor=self.policy.caller(self.request), now=timezone.now())
        return self.answer(webhook)

    def _disable(self) -> Response:
        webhook = self.locked()
        actor = self.policy.caller(self.request)
        lifecycle.disable(webhook, actor=actor, reason=DisabledReason.ADMIN, now=timezone.now())
        return self.answer(webhook)

    def _rotate(self, overlap: timedelta) -> Response:
        webhook = self.locked()
        now = timezone.now()
        secret = webhook.rotate_secret(now=now, overlap=overlap)
        self.audit(
            AuditAction.SECRET_ROTATED, webhook, changes={"overlap_seconds": {"to": int(overlap.total_seconds())}}
        )
        return Response({"secret": secret, "old_secret_signs_until": moment_text(now + overlap)})

    def _reveal(self) -> Response:
        webhook = self.get_object()
        now: datetime = timezone.now()
        try:
            newest = next(iter(webhook.signing_secrets(now)), None)
        except SecretError:
            newest = None
        if newest is None:
            raise Conflict("Its secret can't be decrypted any more; rotate it.")
        self.audit(AuditAction.SECRET_REVEALED, webhook)
        return Response({"secret": newest})


def _tried(webhook: Webhook, event_type: str, body: Mapping[str, Any] | None, *, actor: Actor) -> TestSendResult:
    try:
        return send_test(webhook, event_type=event_type, body=body, actor=actor)
    except UnknownEventType as error:
        raise ValidationError({"event_type": [ErrorDetail(str(error), code="unknown")]}) from error
    except PayloadError as error:
        raise ValidationError({"body": [ErrorDetail(str(error), code="schema")]}) from error
