"""Jobs, and the base class of the viewsets that start them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.utils import timezone
from rest_framework import mixins, status
from rest_framework.response import Response

from tms_webhooks.api.filters import JobFilterSet
from tms_webhooks.api.serializers.records import JobSerializer, StartedJobsSerializer
from tms_webhooks.api.views.resource import ResourceViewSet
from tms_webhooks.choices import JobKind
from tms_webhooks.manage import jobs
from tms_webhooks.models import Job, Webhook
from tms_webhooks.models.public_ids import public_id_pattern
from tms_webhooks.models.webhook import heavy_columns

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
        """Return the number of deliveries that a job would change, or of objects that a snapshot would send."""
        return jobs.count(kind, webhook, now=timezone.now(), **_selection(body))

    def start(self, kind: JobKind, webhook: Webhook, body: Mapping[str, Any]) -> Job:
        """Start a job."""
        return jobs.start(kind, webhook, actor=self.actor, now=timezone.now(), **_selection(body))

    def jobs_response(self, *started: Job) -> Response:
        """Return the jobs that have started, with the URL of their progress in ``Location``."""
        one = len(started) == 1
        url = self.url_of("job-detail", pk=started[0].public_id) if one else self.url_of("job-list")
        values = {"dry_run": False, "total": sum(job.total for job in started), "jobs": started}
        context = {**self.get_serializer_context(), "counts_deliveries": one}
        data = StartedJobsSerializer(values, context=context).data
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


def _selection(body: Mapping[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in ("since", "until", "nouns") if name in body}
