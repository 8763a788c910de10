"""REST Hooks: programs that subscribe, refresh and unsubscribe by themselves. Each sees its own hooks only."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rest_framework import mixins, status
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response

from tms_webhooks.api.filters import HookFilterSet
from tms_webhooks.api.schema.resources import ETAG, IF_MATCH, LOCATION, extend_schema, row_action, writes
from tms_webhooks.api.serializers.hooks import HookRefreshSerializer, HookSerializer, NewHookSerializer
from tms_webhooks.api.views.resource import ResourceViewSet
from tms_webhooks.api.views.webhooks import refuse_unreachable
from tms_webhooks.choices import Action
from tms_webhooks.manage import hooks, webhooks
from tms_webhooks.models import Webhook


class HookViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ResourceViewSet):
    """Return the hooks that the caller has made, newest first."""

    heading = "Hooks"
    row_kind = "hook"
    queryset = Webhook.objects.prefetch_related("subscriptions")
    serializer_class = HookSerializer
    filterset_class = HookFilterSet

    @property
    def mark(self) -> str:
        """The `Webhook.hook_of` of the caller's hooks. Raise ``PermissionDenied`` for a caller without an id."""
        caller = self.actor
        if not caller.id:
            raise PermissionDenied("Your credentials don't identify you, so no hook would be yours. Use an API key.")
        return f"{self.caller_scope[:32]}:{caller.kind}:{caller.stored_id}"

    def get_queryset(self) -> Any:
        """Return the caller's hooks. One that is deleted already can be deleted again."""
        rows: Any = super().get_queryset().filter(hook_of=self.mark)
        return rows if self.action == "destroy" else rows.existing()

    @extend_schema(
        request=NewHookSerializer, responses={201: HookSerializer, 200: HookSerializer}, parameters=[LOCATION]
    )
    def create(self, request: Any) -> Response:
        """Subscribe a URL to an event. The same URL and event again are the same hook, with the new values."""
        body = self.read(NewHookSerializer)
        self.require(Action.MANAGE, body["hook"].organization_id)
        refuse_unreachable(request.data, name="target_url")

        def create() -> Response:
            hook, is_new = hooks.subscribe(**body, actor=self.actor, now=timezone.now())
            response = self.response_of(HookSerializer, hook)
            response.status_code = status.HTTP_201_CREATED if is_new else status.HTTP_200_OK
            response["Location"] = self.url_of("hook-detail", pk=hook.public_id)
            return response

        return self.commit(create)

    @writes(parameters=[IF_MATCH])
    def destroy(self) -> Response:
        """Unsubscribe: delete a hook and cancel its queued deliveries. A body is ignored."""
        webhooks.delete(self.get_object(lock=True), actor=self.actor, now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @row_action(HookSerializer, IF_MATCH, ETAG, body=HookRefreshSerializer)
    def refresh(self, **body: Any) -> Webhook:
        """Set the end of a hook. Without one in the body, it is 30 days from now, if the hook has an end."""
        hook: Webhook = self.get_object(lock=True)
        now, has_end = timezone.now(), hook.expires_at is not None
        default = now + hooks.LIFETIME if has_end else None
        hooks.refresh(hook, body.get("expires_at", default), actor=self.actor, now=now)
        return hook
