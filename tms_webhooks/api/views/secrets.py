"""The signing secrets of one webhook: when each was created and when it ends, never a value."""

from __future__ import annotations

from typing import Any

from rest_framework import mixins
from rest_framework.response import Response

from tms_webhooks.api.safe_writes import etag_of
from tms_webhooks.api.schema.resources import ETAG, IF_MATCH, post_action
from tms_webhooks.api.serializers.actions import EmptySerializer
from tms_webhooks.api.serializers.records import SecretSerializer
from tms_webhooks.api.views.resource import WebhookPartViewSet
from tms_webhooks.db import clock
from tms_webhooks.manage import secrets
from tms_webhooks.models import WebhookSecret


class SecretViewSet(mixins.ListModelMixin, WebhookPartViewSet):
    """Secrets of the webhook in the URL, newest first. The value of a secret is in no response of these requests."""

    heading = "Secrets"
    row_kind = "secret"
    queryset = WebhookSecret.objects.filter(webhook__deleted_at__isnull=True).select_related("webhook").defer("value")
    serializer_class = SecretSerializer

    def get_queryset(self) -> Any:
        """Return the secrets that can be requested: in a list, those that sign now."""
        rows: Any = super().get_queryset()
        return rows.signing(clock.measured_now()) if self.action == "list" else rows

    def list(self, request: Any, webhook_id: str) -> Response:
        """Return the secrets that sign the requests of a webhook now, without their values."""
        self.webhook()
        return super().list(request)

    @post_action(EmptySerializer, SecretSerializer, IF_MATCH, ETAG)
    def expire(self, _body: Any) -> Response:
        """End an older secret now: no request is signed with it any more. The current secret can only be rotated."""
        webhook = self.webhook(lock=True)
        secret: WebhookSecret = self.get_object()
        secrets.expire(secret, actor=self.actor, now=clock.measured_now())
        return Response(self.get_serializer(secret).data, headers={"ETag": etag_of(webhook)})
