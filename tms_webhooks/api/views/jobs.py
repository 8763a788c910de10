"""Jobs, and what begins them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils import timezone
from rest_framework import mixins, status
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.response import Response

from tms_webhooks.api.filtersets import JobFilterSet
from tms_webhooks.api.problems import Conflict
from tms_webhooks.api.schema import shapes
from tms_webhooks.api.serializers.jobs import JobSerializer
from tms_webhooks.api.views.bases import ResourceViewSet
from tms_webhooks.choices import AuditAction, JobKind
from tms_webhooks.delivery import replay
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.models import Job, Webhook

JOB_OR_COUNT: Mapping[int, Any] = {202: JobSerializer, 200: shapes.COUNT}
"""The responses of an action that starts a job, or only counts."""


class Replaying(ResourceViewSet):
    """Begins jobs, or counts what they would be about."""

    def replay(self, kind: JobKind, webhook: Webhook, asked: Mapping[str, Any]) -> Response:
        """Answer with a job that was begun, or with a count where the caller wants no more."""
        if asked["dry_run"]:
            return counted(self.count(kind, webhook, asked))
        return self.commit(lambda: self.accepted(self.start(kind, webhook, asked)))

    def count(self, kind: JobKind, webhook: Webhook, asked: Mapping[str, Any]) -> int:
        """Return how many deliveries a job would be about."""
        try:
            return replay.count(kind, webhook, now=timezone.now(), since=asked.get("since"), until=asked.get("until"))
        except ReplayError as error:
            raise _problem(error) from error

    def start(self, kind: JobKind, webhook: Webhook, asked: Mapping[str, Any]) -> Job:
        """Begin a job, and write down who did; call it in a transaction."""
        since, until = asked.get("since"), asked.get("until")
        caller = self.policy.caller(self.request)
        name = caller.label or f"{caller.kind} {caller.id}"
        try:
            job = replay.start(kind, webhook, now=timezone.now(), since=since, until=until, requested_by=name[:100])
        except ReplayError as error:
            raise _problem(error) from error
        facts = {"kind": kind.value, "since": since, "until": until, "total": job.total}
        self.audit(AuditAction.JOB_STARTED, webhook, target=f"job:{job.pk}", changes=facts)
        return job

    def accepted(self, job: Job) -> Response:
        """Answer with a job that is under way, and where to ask for its progress."""
        data = JobSerializer(job, context=self.get_serializer_context()).data
        address = self.address_of("job-detail", pk=job.pk)
        return Response(data, status=status.HTTP_202_ACCEPTED, headers={"Location": address})


class JobViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ResourceViewSet):
    """Jobs, the newest first."""

    heading = "Jobs"
    queryset = Job.objects.select_related("webhook").defer("webhook__headers")
    serializer_class = JobSerializer
    filterset_class = JobFilterSet
    organization_path = "webhook__organization"


def counted(total: int) -> Response:
    """Answer a dry run."""
    return Response({"dry_run": True, "total": total})


def _problem(error: ReplayError) -> Exception:
    if error.field:
        return ValidationError({error.field: [ErrorDetail(str(error), code="range")]})
    return Conflict(str(error))
