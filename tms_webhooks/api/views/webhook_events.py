"""The feed of one webhook: the events that its subscriptions match, as they are sent to it."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from rest_framework.response import Response

from tms_webhooks.api.pagination import FeedPagination
from tms_webhooks.api.serializers.records import WebhookEventSerializer
from tms_webhooks.api.views.events import OBJECT_PARAMETERS, events_of_objects, invalid_cursor
from tms_webhooks.api.views.resource import WebhookPartViewSet
from tms_webhooks.choices import Action
from tms_webhooks.exceptions import CursorError
from tms_webhooks.models import Event
from tms_webhooks.outbox import webhook_feed


class WebhookEventViewSet(WebhookPartViewSet):
    """The feed of the webhook in the URL. The caller needs the permission to see the payloads of its organization."""

    heading = "Events"
    queryset = Event.objects.none()
    serializer_class = WebhookEventSerializer
    pagination_class = FeedPagination
    needs = {"list": Action.VIEW_PAYLOAD}
    parameters = {"list": OBJECT_PARAMETERS}

    def list(self, request: Any, webhook_id: str) -> Response:
        """Return a page of the events that match the webhook's subscriptions, oldest first. A page may be empty and have
        more after it: the filters of a limited number of events are evaluated for each."""
        webhook = self.webhook()
        try:
            page = webhook_feed.read(
                webhook,
                now=timezone.now(),
                after=request.query_params.get("after", ""),
                among=events_of_objects(request),
                limit=FeedPagination().get_page_size(request),
            )
        except CursorError as error:
            raise invalid_cursor(error) from error
        context = {**self.get_serializer_context(), "webhook": webhook}
        results = WebhookEventSerializer(page.events, many=True, context=context).data
        return Response({"results": results, "cursor": page.cursor, "has_more": page.has_more})
