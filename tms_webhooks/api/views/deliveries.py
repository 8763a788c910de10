"""The delivery log, and sending again."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import router, transaction
from django.utils import timezone
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.response import Response

from tms_webhooks.api.filtersets import DeliveryFilterSet, visible_webhooks
from tms_webhooks.api.problems import Conflict, Fault, UnknownReference
from tms_webhooks.api.schema import shapes
from tms_webhooks.api.schema.parameters import LOCATION
from tms_webhooks.api.schema.shim import extend_schema
from tms_webhooks.api.serializers.deliveries import AttemptSerializer, DeliverySerializer, WholeDeliverySerializer
from tms_webhooks.api.serializers.jobs import JobSerializer
from tms_webhooks.api.serializers.requests import BulkReplaySerializer, NothingSerializer
from tms_webhooks.api.views.jobs import Replaying, counted
from tms_webhooks.choices import Action, AuditAction, JobKind
from tms_webhooks.delivery import replay
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.models import Delivery, DeliveryAttempt, Webhook
from tms_webhooks.outbox.wake import waker


class DeliveryViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, Replaying):
    """Deliveries, the newest first, those of deleted webhooks included."""

    heading = "Deliveries"
    queryset = Delivery.objects.select_related("event", "webhook").defer("event__error", "webhook__headers")
    serializer_class = DeliverySerializer
    filterset_class = DeliveryFilterSet
    organization_path = "webhook__organization"
    needs = {"resend": Action.REPLAY}
    paged = ("attempts",)

    def get_queryset(self) -> Any:
        """Leave the payloads where they are, but for one that is looked at."""
        rows = super().get_queryset()
        if self.action != "list":
            return rows
        # Every key is: but it has SQLite walk by the keys, where it would gather all that there are and sort them.
        return rows.filter(pk__gt=0).defer("event__body", "event__error", "webhook__headers")

    def get_serializer_class(self) -> Any:
        """Show one delivery with what it sends."""
        return DeliverySerializer if self.action == "list" else WholeDeliverySerializer

    def may_see_payloads(self, organization: Any) -> bool:
        """Return whether the caller may see what was sent there, and what receivers answered."""
        return self.allows(Action.VIEW_PAYLOAD, organization)

    @extend_schema(responses=AttemptSerializer(many=True), filters=False)
    @action(detail=True, methods=["get"])
    def attempts(self, request: Any, pk: str) -> Response:
        """Return the HTTP calls of one delivery, the first one first."""
        delivery = self.get_object()
        shows = self.may_see_payloads(delivery.webhook.organization_id)
        page = self.paginate_queryset(DeliveryAttempt.objects.filter(delivery=delivery).order_by("pk"))
        context = {**self.get_serializer_context(), "shows_payloads": shows}
        return self.get_paginated_response(AttemptSerializer(page, many=True, context=context).data)

    @extend_schema(request=NothingSerializer, responses={202: WholeDeliverySerializer}, parameters=[LOCATION])
    @action(detail=True, methods=["post"])
    def resend(self, request: Any, pk: str) -> Response:
        """Send it once more, now, with the same event id."""
        self.read(NothingSerializer)
        return self.commit(self._resend)

    @extend_schema(
        request=BulkReplaySerializer,
        responses={202: shapes.JOBS, 200: shapes.COUNT},
        parameters=[LOCATION],
    )
    @action(detail=False, methods=["post"], url_path="bulk-replay")
    def bulk_replay(self, request: Any) -> Response:
        """Send again what failed, or was missed, of several webhooks: a job for each, all of them or none."""
        asked = self.read(BulkReplaySerializer)
        webhooks = self._webhooks(asked["webhooks"])
        kind = JobKind(asked["kind"])
        if asked["dry_run"]:
            return counted(sum(self.count(kind, webhook, asked) for webhook in webhooks))
        return self.commit(partial(self._replay_all, kind, webhooks, asked))

    def _resend(self) -> Response:
        delivery: Delivery = self.get_object()
        try:
            replay.resend(delivery, now=timezone.now())
        except ReplayError as error:
            raise Conflict(str(error)) from error
        self.audit(AuditAction.DELIVERY_RESENT, delivery.webhook, target=f"delivery:{delivery.pk}")
        transaction.on_commit(waker.wake, using=router.db_for_write(Delivery), robust=True)
        address = self.address_of("delivery-detail", pk=delivery.pk)
        data = self.get_serializer(self.get_object()).data
        return Response(data, status=status.HTTP_202_ACCEPTED, headers={"Location": address})

    def _webhooks(self, keys: list[str]) -> list[Webhook]:
        """Return the webhooks of these ids, with all of which the caller may do this; raise where one is not there."""
        numbers = {key: int(key) for key in keys if key.isascii() and key.isdecimal()}
        rows = visible_webhooks(self.request).filter(deleted_at__isnull=True)
        found = rows.in_bulk(set(numbers.values()))
        faults = [
            Fault("pointer", f"#/webhooks/{index}", "unknown", "There is no such webhook; name one of yours by its id.")
            for index, key in enumerate(keys)
            if numbers.get(key) not in found
        ]
        if faults:
            raise UnknownReference("A webhook is not there.", faults=faults)
        webhooks = [found[pk] for pk in sorted(found)]
        for organization in {webhook.organization_id for webhook in webhooks}:
            self.require(Action.REPLAY, organization)
        return webhooks

    def _replay_all(self, kind: JobKind, webhooks: list[Webhook], asked: Any) -> Response:
        jobs = [self.start(kind, webhook, asked) for webhook in webhooks]
        data = {
            "jobs": JobSerializer(jobs, many=True, context=self.get_serializer_context()).data,
            "total": sum(job.total for job in jobs),
        }
        return Response(data, status=status.HTTP_202_ACCEPTED, headers={"Location": self.address_of("job-list")})
