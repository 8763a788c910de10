"""The delivery log, resend and bulk replay; jobs, and the base class of the viewsets that start them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.utils import timezone
from rest_framework import mixins
from rest_framework.response import Response

from tms_webhooks.access import may_view_payload
from tms_webhooks.api.filters import OF_DELIVERIES, OF_JOBS, visible_webhooks
from tms_webhooks.api.problems import ErrorItem, Problem
from tms_webhooks.api.schema.resources import LOCATION, row_action
from tms_webhooks.api.serializers.actions import BulkReplaySerializer, EmptySerializer
from tms_webhooks.api.serializers.answers import (
    AttemptSerializer,
    DeliveryDetailSerializer,
    DeliverySerializer,
    JobSerializer,
    StartedJobsSerializer,
)
from tms_webhooks.api.views.resource import ResourceViewSet
from tms_webhooks.choices import Action, JobKind
from tms_webhooks.db import clock
from tms_webhooks.manage import deliveries, jobs
from tms_webhooks.models import Delivery, DeliveryAttempt, Job, Webhook
from tms_webhooks.models.public_ids import uid_of
from tms_webhooks.models.webhook import heavy_columns

JOBS_OR_COUNT: Mapping[int, Any] = {202: StartedJobsSerializer, 200: StartedJobsSerializer}
"""The responses of an action that starts jobs or, as a dry run, counts deliveries. Clients know one type per action."""


class JobStartingViewSet(ResourceViewSet):
    """Starts jobs, or counts the deliveries that a job would change."""

    def start_or_count(self, body: Mapping[str, Any], *webhooks: Webhook) -> Response:
        """Start a job for each of these webhooks, by default for that of the URL, and return them with the URL of their progress.

        The name of the action is the kind of the jobs, unless the body has another one.
        For a dry run, only count the deliveries that they would change, or the objects that a snapshot would send.
        """
        kind, now, webhooks = JobKind(body.get("kind", self.action)), timezone.now(), webhooks or (self.get_object(),)
        selection = {name: body[name] for name in ("since", "until", "nouns", "only") if name in body}
        if body["dry_run"]:
            total = sum(jobs.count(kind, webhook, now=now, **selection) for webhook in webhooks)
            return self.response_of(StartedJobsSerializer, {"dry_run": True, "total": total, "jobs": ()})
        started = [jobs.start(kind, webhook, actor=self.actor, now=now, **selection) for webhook in webhooks]
        self.counts_deliveries = is_one = len(started) == 1
        total = sum(job.total for job in started)
        response = self.response_of(JOBS_OR_COUNT, {"dry_run": False, "total": total, "jobs": started})
        response["Location"] = self.url_of("job-detail", pk=started[0].public_id) if is_one else self.url_of("job-list")
        return response


class DeliveryViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, JobStartingViewSet):
    """Return the deliveries of the caller's organizations, newest first, including those of deleted webhooks."""

    heading = "Deliveries"
    row_kind = "delivery"
    queryset = Delivery.objects.select_related("event", "webhook__state").defer("event__error", *heavy_columns())
    serializer_class = DeliverySerializer
    list_filters = OF_DELIVERIES
    organization_path = "webhook__organization"
    needs = dict.fromkeys(("resend", "send_now", "bulk_replay"), Action.REPLAY)
    paged = ("attempts",)

    def get_queryset(self) -> Any:
        """Return the visible deliveries; a list does not load their payloads."""
        rows: Any = super().get_queryset()
        if self.action != "list":
            return rows
        return rows.defer("event__body").by_index_of(self.request.query_params.getlist("status"))

    def get_serializer_class(self) -> Any:
        """Return the serializer with the payload, except for a list."""
        return DeliverySerializer if self.action == "list" else DeliveryDetailSerializer

    @row_action(AttemptSerializer(many=True))
    def attempts(self) -> Response:
        """Return the HTTP requests of a delivery, oldest first."""
        delivery = self.get_object()
        self.shows_payloads = may_view_payload(delivery.webhook, delivery.event, self.allows)
        page = self.paginate_queryset(DeliveryAttempt.objects.filter(delivery=delivery).order_by("pk"))
        data = AttemptSerializer(page, many=True, context=self.get_serializer_context()).data
        return self.get_paginated_response(data)

    @row_action({202: DeliveryDetailSerializer}, LOCATION, body=EmptySerializer)
    def resend(self) -> Delivery:
        """Send a delivery again now. The event id stays the same."""
        return self._after(deliveries.resend)

    @row_action({202: DeliveryDetailSerializer}, LOCATION, body=EmptySerializer, url_path="send-now")
    def send_now(self) -> Delivery:
        """Attempt a waiting delivery now, even if its webhook is paused. The attempt uses up no retry."""
        return self._after(deliveries.send_now)

    @row_action(JOBS_OR_COUNT, LOCATION, body=BulkReplaySerializer, detail=False, url_path="bulk-replay")
    def bulk_replay(self, **body: Any) -> Response:
        """Send failed, cancelled or missed deliveries of several webhooks again. Starts one job per webhook, or none if one can't start."""
        uids = {uid_of(key, Webhook.PUBLIC_PREFIX) for key in body["webhooks"]} - {None}
        # In the order of the locks.
        rows = visible_webhooks(self).existing().filter(uid__in=uids).order_by("pk")
        found = {webhook.public_id: webhook for webhook in rows}
        errors = [
            ErrorItem("pointer", f"#/webhooks/{index}", "unknown", "Unknown webhook; use the id of one of yours.")
            for index, key in enumerate(body["webhooks"])
            if key not in found
        ]
        if errors:
            raise Problem("not-found", errors=errors)
        for webhook in found.values():
            self.check(webhook)
        return self.start_or_count(body, *found.values())

    def _after(self, verb: Callable[..., None]) -> Any:
        """Return the delivery of the URL after a verb of `tms_webhooks.manage.deliveries`."""
        verb(self.get_object(), actor=self.actor, now=clock.measured_now())
        return self.get_object()


class JobViewSet(mixins.ListModelMixin, ResourceViewSet):
    """Return the jobs of the caller's organizations, newest first."""

    heading = "Jobs"
    row_kind = "job"
    queryset = Job.objects.filter(webhook__isnull=False).select_related("webhook").defer(*heavy_columns())
    serializer_class = JobSerializer
    list_filters = OF_JOBS
    organization_path = "webhook__organization"

    def retrieve(self, request: Any, pk: str) -> Response:
        """Return one job. Its ``deliveries`` are counted: how many are delivered, failed and waiting."""
        self.counts_deliveries = True
        return self.response_of(JobSerializer, self.get_object())
