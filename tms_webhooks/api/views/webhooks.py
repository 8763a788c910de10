"""Webhooks: the collection, and one of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from django.utils import timezone
from rest_framework import mixins, status
from rest_framework.response import Response

from tms_webhooks.api.filtersets import WebhookFilterSet
from tms_webhooks.api.reach import require_reachable
from tms_webhooks.api.schema import shapes
from tms_webhooks.api.schema.parameters import ETAG, IF_MATCH, LOCATION
from tms_webhooks.api.schema.shim import extend_schema
from tms_webhooks.api.serializers.webhooks import WebhookChangesSerializer
from tms_webhooks.api.views.webhook_verbs import WebhookVerbs
from tms_webhooks.choices import Action, AuditAction
from tms_webhooks.delivery import lifecycle
from tms_webhooks.models import Subscription, Webhook
from tms_webhooks.models.audit import differences


class WebhookViewSet(mixins.ListModelMixin, WebhookVerbs):
    """Webhooks. A deleted one is not there, though its log is."""

    heading = "Webhooks"
    filterset_class = WebhookFilterSet
    ordering = ("name", "pk")
    needs = {
        **WebhookVerbs.needs,
        "create": Action.MANAGE,
        "partial_update": Action.MANAGE,
        "destroy": Action.MANAGE,
    }

    @extend_schema(responses={201: shapes.CREATED_WEBHOOK}, parameters=[ETAG, LOCATION])
    def create(self, request: Any) -> Response:
        """Make a webhook with its subscriptions. The answer has its secret, which is never shown again."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        self.require(Action.MANAGE, serializer.validated_data["organization"].pk)
        require_reachable(serializer.validated_data["url"])
        return self.commit(lambda: self._create(serializer.validated_data))

    @extend_schema(parameters=[ETAG])
    def retrieve(self, request: Any, pk: str) -> Response:
        """Return one webhook."""
        return self.answer(self.get_object())

    @extend_schema(request=WebhookChangesSerializer, parameters=[IF_MATCH, ETAG])
    def partial_update(self, request: Any, pk: str) -> Response:
        """Change what is named, and leave alone what is not."""
        webhook = self.get_object()
        if request.data.get("url") != webhook.url:
            require_reachable(request.data.get("url"))
        return self.commit(self._update)

    @extend_schema(parameters=[IF_MATCH])
    def destroy(self, request: Any, pk: str) -> Response:
        """Delete a webhook, and call off what waits for it. Its deliveries stay in the log."""
        return self.commit(self._delete)

    def _create(self, values: Mapping[str, Any]) -> Response:
        now = timezone.now()
        subscriptions = values.get("subscriptions", ())
        webhook = Webhook(**{name: value for name, value in values.items() if name != "subscriptions"})
        lifecycle.add(webhook, now=now)
        for one in subscriptions:
            Subscription.objects.create(webhook=webhook, **one)
        told = [one["event_type"] for one in subscriptions]
        self.audit(
            AuditAction.WEBHOOK_CREATED, webhook, changes={**differences(None, webhook), "subscriptions": {"to": told}}
        )
        (secret,) = webhook.signing_secrets(now)
        response = self.answer(webhook, status.HTTP_201_CREATED, secret=secret)
        response["Location"] = self.address_of("webhook-detail", pk=webhook.pk)
        return response

    def _update(self) -> Response:
        webhook = self.locked()
        before = copy.copy(webhook)
        serializer = self.get_serializer(webhook, data=self.request.data, partial=True)
        serializer.is_valid(raise_exception=True)
        for name, value in serializer.validated_data.items():
            setattr(webhook, name, value)
        changes = differences(before, webhook)
        if changes:
            webhook.save(update_fields=[*changes, "updated_at"])
            self.audit(AuditAction.WEBHOOK_UPDATED, webhook, changes=changes)
        return self.answer(webhook)

    def _delete(self) -> Response:
        webhook = self.locked()
        lifecycle.delete(webhook, actor=self.policy.caller(self.request), now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)
