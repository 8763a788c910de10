"""The URLs of the API. A host includes them under any prefix: ``path("api/", include("tms_webhooks.api.urls"))``.

Unknown URLs below the prefix get a problem instead of Django's HTML page, and URLs without the last slash a redirect.
"""

from __future__ import annotations

from importlib import import_module

from django.apps import apps
from django.http import HttpRequest, HttpResponsePermanentRedirect, JsonResponse
from django.urls import re_path
from django.utils.http import escape_leading_slashes
from django.views.decorators.csrf import csrf_exempt
from rest_framework.routers import SimpleRouter

from tms_webhooks.api.problems import CONTENT_TYPE, Problem, details_of
from tms_webhooks.api.views.deliveries import DeliveryViewSet, JobViewSet
from tms_webhooks.api.views.read_only import EventTypeViewSet, EventViewSet, MeViewSet, WebhookEventViewSet
from tms_webhooks.api.views.webhooks import HookViewSet, SecretViewSet, SubscriptionViewSet, WebhookViewSet

app_name = "tms_webhooks"


@csrf_exempt
def unknown_url(_request: HttpRequest, **_kwargs: str) -> JsonResponse:
    """Answer 404 with a problem to every method."""
    problem = Problem("not-found", "No resource has this URL. The OpenAPI document lists all of them.")
    return JsonResponse(details_of(problem), status=problem.status_code, content_type=CONTENT_TYPE)


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
router.register("events", EventViewSet, basename="event")
router.register("hooks", HookViewSet, basename="hook")
router.register("me", MeViewSet, basename="me")

# Only URLs below these names: the host may have its own URLs under the same prefix.
_FIRST_SEGMENTS = "|".join(sorted({prefix.partition("/")[0] for prefix, _viewset, _basename in router.registry}))


urlpatterns = [
    *router.urls,
    re_path(rf"^(?:{_FIRST_SEGMENTS})/(?s:.*/)?\Z", unknown_url, name="unknown-address"),
    re_path(rf"^(?:{_FIRST_SEGMENTS})(?:/(?s:.*))?(?<!/)\Z", add_slash, name="without-slash"),
]

# Importing the extensions registers them with drf-spectacular.
if apps.is_installed("drf_spectacular"):
    import_module("tms_webhooks.api.schema.hooks")
