"""The subscriptions of one webhook."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rest_framework import mixins, serializers, status
from rest_framework.response import Response

from tms_webhooks.api.safe_writes import etag_of
from tms_webhooks.api.schema.resources import ETAG, IF_MATCH, LOCATION, writes
from tms_webhooks.api.serializers.base import to_drf_detail
from tms_webhooks.api.serializers.webhooks import SubscriptionSerializer
from tms_webhooks.api.views.resource import WebhookPartViewSet
from tms_webhooks.delivery import rendering
from tms_webhooks.manage import subscriptions
from tms_webhooks.models import Subscription, Webhook
from tms_webhooks.models.subscription import duplicates


class SubscriptionViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, WebhookPartViewSet):
    """Subscriptions of the webhook in the URL. Each change also changes the webhook's entity tag."""

    heading = "Subscriptions"
    row_kind = "subscription"
    queryset = Subscription.objects.filter(webhook__deleted_at__isnull=True)
    serializer_class = SubscriptionSerializer
    ordering = ("pk",)
    # It only narrows the events that the webhook receives.
    own_only = ("destroy",)

    def list(self, request: Any, webhook_id: str) -> Response:
        """Return the subscriptions of a webhook."""
        self.webhook()
        return super().list(request)

    @writes(parameters=[IF_MATCH, ETAG, LOCATION])
    def create(self) -> Response:
        """Add a subscription to a webhook."""
        webhook = self.webhook(lock=True)
        subscription = self._changed(Subscription(webhook=webhook))
        subscriptions.add(webhook, [subscription], actor=self.actor, now=timezone.now())
        response = self._response(subscription, webhook, status.HTTP_201_CREATED)
        response["Location"] = self.url_of(
            "subscription-detail", webhook_id=webhook.public_id, pk=subscription.public_id
        )
        return response

    @writes(parameters=[IF_MATCH, ETAG])
    def partial_update(self) -> Response:
        """Change the fields in the body. Other fields stay as they are."""
        webhook = self.webhook(lock=True)
        subscription = self._changed(self.get_object())
        subscriptions.update(subscription, actor=self.actor, now=timezone.now())
        return self._response(subscription, webhook)

    @writes(parameters=[IF_MATCH])
    def destroy(self) -> Response:
        """Delete a subscription. Queued deliveries are still sent."""
        self.webhook(lock=True)
        subscriptions.remove(self.get_object(), actor=self.actor, now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _changed(self, subscription: Subscription) -> Subscription:
        """Set the values of the body; raise ``ValidationError`` if the webhook's content or URL is invalid for its events."""
        stored = None if subscription._state.adding else subscription
        serializer = self.get_serializer(stored, data=self.request.data, partial=stored is not None)
        serializer.is_valid(raise_exception=True)
        for name, value in serializer.validated_data.items():
            setattr(subscription, name, value)
        webhook = subscription.webhook
        rows = [*webhook.subscriptions.exclude(pk=subscription.pk), subscription]
        if error := duplicates(rows).get(len(rows) - 1):
            raise serializers.ValidationError(to_drf_detail(error))
        if "event_type" in serializer.validated_data:
            problems = rendering.problems_for(webhook, [one.event_type for one in rows])
            if problems is not None:
                raise serializers.ValidationError({"event_type": problems.messages})
        return subscription

    def _response(self, subscription: Subscription, webhook: Webhook, code: int = status.HTTP_200_OK) -> Response:
        subscription.refresh_from_db()
        return Response(self.get_serializer(subscription).data, status=code, headers={"ETag": etag_of(webhook)})
