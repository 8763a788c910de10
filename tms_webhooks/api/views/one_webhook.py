"""What everything that is done with one webhook begins and ends with."""

from __future__ import annotations

from rest_framework import status
from rest_framework.response import Response

from tms_webhooks.api.preconditions import etag_of, require_match
from tms_webhooks.api.serializers.webhooks import WebhookSerializer
from tms_webhooks.api.views.bases import ResourceViewSet
from tms_webhooks.models import Webhook


class OneWebhookViewSet(ResourceViewSet):
    """Finds the webhook of the address, and answers with it."""

    queryset = Webhook.objects.existing().prefetch_related("subscriptions")
    serializer_class = WebhookSerializer

    def locked(self) -> Webhook:
        """Return the webhook of the address, locked, and in the state that the caller's ``If-Match`` names."""
        webhook: Webhook = self.get_object()
        Webhook.objects.select_for_update().get(pk=webhook.pk)
        # Read anew: what another writer did while we waited for the lock counts.
        webhook = self.get_object()
        require_match(self.request, webhook)
        return webhook

    def answer(self, webhook: Webhook, code: int = status.HTTP_200_OK, *, secret: str | None = None) -> Response:
        """Return the webhook as it stands in the database, with its entity tag; its secret only where that is given."""
        webhook = Webhook.objects.prefetch_related("subscriptions").get(pk=webhook.pk)
        data = dict(WebhookSerializer(webhook, context=self.get_serializer_context()).data)
        if secret is not None:
            data["secret"] = secret
        return Response(data, status=code, headers={"ETag": etag_of(webhook)})
