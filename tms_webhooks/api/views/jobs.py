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
from tms_webhooks.models.webhook import heavy_columns

JOBS_OR_COUNT: Mapping[int, Any] = {202: StartedJobsSerializer, 200: StartedJobsSerializer}
"""The responses of an action that starts jobs or, as a dry run, counts deliveries. Clients know one type per action."""


class JobStartingViewSet(ResourceViewSet):
    """Starts jobs, or counts the deliveries that a job would change."""

    def start_or_count(self, kind: JobKind, body: Mapping[str, Any], *webhooks: Webhook) -> Response:
        """Start a job for each of these webhooks, by default for that of the URL, and return them with the URL of their progress.

        For a dry run, only count the deliveries that they would change, or the objects that a snapshot would send.
        """
        now, webhooks = timezone.now(), webhooks or (self.get_object(),)
        selection = {name: body[name] for name in ("since", "until", "nouns", "only") if name in body}
        if body["dry_run"]:
            total = sum(jobs.count(kind, webhook, now=now, **selection) for webhook in webhooks)
            return self.response_of(StartedJobsSerializer, {"dry_run": True, "total": total, "jobs": ()})
        started = [jobs.start(kind, webhook, actor=self.actor, now=now, **selection) for webhook in webhooks]
        is_one = len(started) == 1
        url = self.url_of("job-detail", pk=started[0].public_id) if is_one else self.url_of("job-list")
        values = {"dry_run": False, "total": sum(job.total for job in started), "jobs": started}
        self.more_context = {"counts_deliveries": is_one}
        response = self.response_of(StartedJobsSerializer, values)
        response.status_code, response["Location"] = status.HTTP_202_ACCEPTED, url
        return response


class JobViewSet(mixins.ListModelMixin, ResourceViewSet):
    """Return the jobs of the caller's organizations, newest first."""

    heading = "Jobs"
    row_kind = "job"
    queryset = Job.objects.filter(webhook__isnull=False).select_related("webhook").defer(*heavy_columns())
    serializer_class = JobSerializer
    filterset_class = JobFilterSet
    organization_path = "webhook__organization"

    def retrieve(self, request: Any, pk: str) -> Response:
        """Return one job. Its ``deliveries`` are counted: how many are delivered, failed and waiting."""
        self.more_context = {"counts_deliveries": True}
        return self.response_of(JobSerializer, self.get_object())
