"""Jobs, and the base class of the viewsets that start them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.utils import timezone
from rest_framework import mixins, status
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.response import Response

from tms_webhooks.api.filters import JobFilterSet
from tms_webhooks.api.problems import Conflict
from tms_webhooks.api.serializers.records import JobSerializer, StartedJobsSerializer
from tms_webhooks.api.views.resource import ResourceViewSet
from tms_webhooks.choices import AuditAction, JobKind
from tms_webhooks.delivery import replay
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.models import Job, Webhook
from tms_webhooks.models.public_ids import public_id_pattern
from tms_webhooks.models.webhook import heavy_columns
from tms_webhooks.snapshot import job as snapshot

JOBS_OR_COUNT: Mapping[int, Any] = {202: StartedJobsSerializer, 200: StartedJobsSerializer}
"""The responses of an action that starts jobs or, as a dry run, counts deliveries. Clients know one type per action."""


class JobStartingViewSet(ResourceViewSet):
    """Starts jobs, or counts the deliveries that a job would change."""

    def start_or_count(self, kind: JobKind, webhook: Webhook, body: Mapping[str, Any]) -> Response:
        """Start a job, or for a dry run count its deliveries, and return the response."""
        if body["dry_run"]:
            return self.count_response(self.count(kind, webhook, body))
        return self.commit(lambda: self.jobs_response(self.start(kind, webhook, body)))

    def count(self, kind: JobKind, webhook: Webhook, body: Mapping[str, Any]) -> int:
        """Return the number of deliveries that a job would change."""
        try:
            return replay.count(kind, webhook, now=timezone.now(), since=body.get("since"), until=body.get("until"))
        except ReplayError as error:
            raise _exception_for(error) from error

    def start(self, kind: JobKind, webhook: Webhook, body: Mapping[str, Any]) -> Job:
        """Start a job and record it in the audit log. Call it in a transaction."""
        since, until = body.get("since"), body.get("until")
        try:
            job = replay.start(
                kind, webhook, now=timezone.now(), since=since, until=until, requested_by=self._caller_name
            )
        except ReplayError as error:
            raise _exception_for(error) from error
        changes = {"kind": kind.value, "since": since, "until": until, "total": job.total}
        self.audit(AuditAction.JOB_STARTED, webhook, target=f"job:{job.public_id}", changes=changes)
        return job

    def start_or_count_snapshot(self, webhook: Webhook, body: Mapping[str, Any]) -> Response:
        """Start a snapshot, or for a dry run count its objects, and return the response."""
        nouns, now = body["nouns"], timezone.now()
        try:
            if body["dry_run"]:
                return self.count_response(snapshot.count(webhook, nouns, now=now))
            return self.commit(lambda: self.jobs_response(self._start_snapshot(webhook, nouns, now=now)))
        except ReplayError as error:
            raise _exception_for(error) from error

    def _start_snapshot(self, webhook: Webhook, nouns: list[str], *, now: datetime) -> Job:
        job = snapshot.start(webhook, nouns, now=now, requested_by=self._caller_name)
        changes = {"kind": job.kind, "nouns": job.nouns, "total": job.total}
        self.audit(AuditAction.JOB_STARTED, webhook, target=f"job:{job.public_id}", changes=changes)
        return job

    @property
    def _caller_name(self) -> str:
        caller = self.policy.caller(self.request)
        return (caller.label or f"{caller.kind} {caller.id}")[:100]

    def jobs_response(self, *jobs: Job) -> Response:
        """Return the jobs that have started, with the URL of their progress in ``Location``."""
        one = len(jobs) == 1
        url = self.url_of("job-detail", pk=jobs[0].public_id) if one else self.url_of("job-list")
        started = {"dry_run": False, "total": sum(job.total for job in jobs), "jobs": jobs}
        context = {**self.get_serializer_context(), "counts_deliveries": one}
        data = StartedJobsSerializer(started, context=context).data
        return Response(data, status=status.HTTP_202_ACCEPTED, headers={"Location": url})

    def count_response(self, total: int) -> Response:
        """Return the response of a dry run."""
        return Response(StartedJobsSerializer({"dry_run": True, "total": total, "jobs": ()}).data)


class JobViewSet(mixins.ListModelMixin, ResourceViewSet):
    """Return the jobs of the caller's organizations, newest first."""

    heading = "Jobs"
    row_kind = "job"
    lookup_value_regex = public_id_pattern(Job.PUBLIC_PREFIX)
    queryset = Job.objects.select_related("webhook").defer(*heavy_columns())
    serializer_class = JobSerializer
    filterset_class = JobFilterSet
    organization_path = "webhook__organization"

    def retrieve(self, request: Any, pk: str) -> Response:
        """Return one job. Its ``deliveries`` are counted: how many are delivered, failed and waiting."""
        context = {**self.get_serializer_context(), "counts_deliveries": True}
        return Response(JobSerializer(self.get_object(), context=context).data)


def _exception_for(error: ReplayError) -> Exception:
    if error.field:
        return ValidationError({error.field: [ErrorDetail(str(error), code=error.code)]})
    return Conflict(str(error), job=error.job)
