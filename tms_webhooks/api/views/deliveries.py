"""The delivery log, resend, and bulk replay."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from rest_framework import mixins, status
from rest_framework.response import Response

from tms_webhooks.api.filters import DeliveryFilterSet, visible_webhooks
from tms_webhooks.api.problems import ErrorItem, Problem
from tms_webhooks.api.schema.resources import LOCATION, row_action
from tms_webhooks.api.serializers.actions import BulkReplaySerializer, EmptySerializer
from tms_webhooks.api.serializers.records import (
    AttemptSerializer,
    DeliveryDetailSerializer,
    DeliverySerializer,
)
from tms_webhooks.api.views.jobs import JOBS_OR_COUNT, JobStartingViewSet
from tms_webhooks.choices import Action, JobKind
from tms_webhooks.db import clock
from tms_webhooks.manage import deliveries
from tms_webhooks.models import Delivery, DeliveryAttempt, Webhook
from tms_webhooks.models.public_ids import uid_of
from tms_webhooks.models.webhook import heavy_columns


class DeliveryViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, JobStartingViewSet):
    """Return the deliveries of the caller's organizations, newest first, including those of deleted webhooks."""

    heading = "Deliveries"
    row_kind = "delivery"
    queryset = Delivery.objects.select_related("event", "webhook__state").defer("event__error", *heavy_columns())
    serializer_class = DeliverySerializer
    filterset_class = DeliveryFilterSet
    organization_path = "webhook__organization"
    needs = {"resend": Action.REPLAY, "send_now": Action.REPLAY}
    paged = ("attempts",)

    def get_queryset(self) -> Any:
        """Return the visible deliveries; a list does not load their payloads."""
        rows: Any = super().get_queryset()
        if self.action != "list":
            return rows
        rows = rows.defer("event__body", "event__error", *heavy_columns())
        return rows.by_index_of(self.request.query_params.getlist("status"))

    def get_serializer_class(self) -> Any:
        """Return the serializer with the payload, except for a list."""
        return DeliverySerializer if self.action == "list" else DeliveryDetailSerializer

    @row_action(AttemptSerializer(many=True))
    def attempts(self) -> Response:
        """Return the HTTP requests of a delivery, oldest first."""
        delivery = self.get_object()
        self.more_context = {"shows_payloads": self.may_see_payload(delivery.webhook, delivery.event)}
        page = self.paginate_queryset(DeliveryAttempt.objects.filter(delivery=delivery).order_by("pk"))
        data = AttemptSerializer(page, many=True, context=self.get_serializer_context()).data
        return self.get_paginated_response(data)

    @row_action({202: DeliveryDetailSerializer}, LOCATION, body=EmptySerializer)
    def resend(self) -> Response:
        """Send a delivery again now. The event id stays the same."""
        return self._send(deliveries.resend)

    @row_action({202: DeliveryDetailSerializer}, LOCATION, body=EmptySerializer, url_path="send-now")
    def send_now(self) -> Response:
        """Attempt a waiting delivery now, even if its webhook is paused. The attempt uses up no retry."""
        return self._send(deliveries.send_now)

    @row_action(JOBS_OR_COUNT, LOCATION, body=BulkReplaySerializer, detail=False, url_path="bulk-replay")
    def bulk_replay(self, **body: Any) -> Response:
        """Send failed, cancelled or missed deliveries of several webhooks again. Starts one job per webhook, or none if one can't start."""
        uids = {uid_of(key, Webhook.PUBLIC_PREFIX) for key in body["webhooks"]} - {None}
        rows = visible_webhooks(self).filter(deleted_at__isnull=True, uid__in=uids)
        found = {webhook.public_id: webhook for webhook in rows}
        errors = [
            ErrorItem("pointer", f"#/webhooks/{index}", "unknown", "Unknown webhook; use the id of one of yours.")
            for index, key in enumerate(body["webhooks"])
            if key not in found
        ]
        if errors:
            raise Problem("not-found", errors=errors)
        # In the order of the locks.
        webhooks = sorted(found.values(), key=attrgetter("pk"))
        for organization in {webhook.organization_id for webhook in webhooks}:
            self.require(Action.REPLAY, organization)
        for webhook in webhooks:
            self.require_children(Action.REPLAY, webhook)
        return self.start_or_count(JobKind(body["kind"]), body, *webhooks)

    def _send(self, verb: Callable[..., None]) -> Response:
        """Have a delivery sent by a verb of `tms_webhooks.manage.deliveries`."""
        delivery: Delivery = self.get_object()
        verb(delivery, actor=self.actor, now=clock.measured_now())
        url = self.url_of("delivery-detail", pk=delivery.public_id)
        data = self.get_serializer(self.get_object()).data
        return Response(data, status=status.HTTP_202_ACCEPTED, headers={"Location": url})
