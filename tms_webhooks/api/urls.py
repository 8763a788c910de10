"""The URLs of the API. A host includes them under any prefix: ``path("api/", include("tms_webhooks.api.urls"))``.

Unknown URLs below the prefix get a problem instead of Django's HTML page, and URLs without the last slash a redirect.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, NoReturn

from django.apps import apps
from django.http import HttpRequest, HttpResponsePermanentRedirect
from django.urls import re_path
from django.utils.http import escape_leading_slashes
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import NotFound
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.views import APIView

from tms_webhooks.api import problems
from tms_webhooks.api.json_format import CompactJSONRenderer, JSONNegotiation
from tms_webhooks.api.views.deliveries import DeliveryViewSet
from tms_webhooks.api.views.events import EventViewSet, WebhookEventViewSet
from tms_webhooks.api.views.jobs import JobViewSet
from tms_webhooks.api.views.read_only import AuditViewSet, EventTypeViewSet, MeViewSet
from tms_webhooks.api.views.secrets import SecretViewSet
from tms_webhooks.api.views.subscriptions import SubscriptionViewSet
from tms_webhooks.api.views.webhooks import WebhookViewSet

app_name = "tms_webhooks"


class UnknownURLView(APIView):
    """Answers 404 with a problem to every method."""

    renderer_classes = (CompactJSONRenderer,)
    content_negotiation_class = JSONNegotiation
    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()
    versioning_class = None
    metadata_class = None
    # Not part of the documented API.
    schema = None

    def http_method_not_allowed(self, request: Any, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise ``NotFound`` for each method, because the view has none."""
        raise NotFound("No resource has this URL. The OpenAPI document lists all of them.")

    @property
    def default_response_headers(self) -> dict[str, str]:
        """No headers: the view allows no method."""
        return {}

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return problems.exception_handler


@csrf_exempt
def add_slash(request: HttpRequest) -> HttpResponsePermanentRedirect:
    """Redirect to the URL with the last slash by 308, which keeps method and body; Django's own redirect loses both."""
    url = escape_leading_slashes(request.get_full_path(force_append_slash=True))
    return HttpResponsePermanentRedirect(url, preserve_request=True)


WEBHOOK = "webhooks/(?P<webhook_id>[^/]+)"

router = SimpleRouter()
router.register("webhooks", WebhookViewSet, basename="webhook")
router.register(f"{WEBHOOK}/subscriptions", SubscriptionViewSet, basename="subscription")
router.register(f"{WEBHOOK}/secrets", SecretViewSet, basename="secret")
router.register(f"{WEBHOOK}/events", WebhookEventViewSet, basename="webhook-event")
router.register("event-types", EventTypeViewSet, basename="event-type")
router.register("deliveries", DeliveryViewSet, basename="delivery")
router.register("jobs", JobViewSet, basename="job")
router.register("audit", AuditViewSet, basename="audit")
router.register("events", EventViewSet, basename="event")
router.register("me", MeViewSet, basename="me")

# Only URLs below these names: the host may have its own URLs under the same prefix.
_FIRST_SEGMENTS = "|".join(sorted({prefix.partition("/")[0] for prefix, _viewset, _basename in router.registry}))


urlpatterns = [
    *router.urls,
    re_path(rf"^(?:{_FIRST_SEGMENTS})/(?s:.*/)?\Z", UnknownURLView.as_view(), name="unknown-address"),
    re_path(rf"^(?:{_FIRST_SEGMENTS})(?:/(?s:.*))?(?<!/)\Z", add_slash, name="without-slash"),
]

# Importing the extensions registers them with drf-spectacular.
if apps.is_installed("drf_spectacular"):
    import_module("tms_webhooks.api.schema.hooks")
