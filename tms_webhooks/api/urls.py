"""The addresses of the API. A host includes them under a prefix of its own: ``path("api/", include("tms_webhooks.api.urls"))``."""

from __future__ import annotations

from importlib import import_module

from django.apps import apps
from django.urls import re_path
from rest_framework.routers import SimpleRouter

from tms_webhooks.api.views.audit import AuditViewSet
from tms_webhooks.api.views.bases import KEY
from tms_webhooks.api.views.deliveries import DeliveryViewSet
from tms_webhooks.api.views.event_types import EventTypeViewSet
from tms_webhooks.api.views.events import EventViewSet
from tms_webhooks.api.views.jobs import JobViewSet
from tms_webhooks.api.views.subscriptions import SubscriptionViewSet
from tms_webhooks.api.views.unknown import UnknownAddressView, add_slash
from tms_webhooks.api.views.webhooks import WebhookViewSet

app_name = "tms_webhooks"

router = SimpleRouter()
router.register("webhooks", WebhookViewSet, basename="webhook")
router.register(f"webhooks/(?P<webhook_id>{KEY})/subscriptions", SubscriptionViewSet, basename="subscription")
router.register("event-types", EventTypeViewSet, basename="event-type")
router.register("deliveries", DeliveryViewSet, basename="delivery")
router.register("jobs", JobViewSet, basename="job")
router.register("audit", AuditViewSet, basename="audit")
router.register("events", EventViewSet, basename="event")

# Only what begins like ours.
_OURS = "|".join(sorted({prefix.partition("/")[0] for prefix, _viewset, _basename in router.registry}))

urlpatterns = [
    *router.urls,
    re_path(rf"^(?:{_OURS})/(?s:.*/)?\Z", UnknownAddressView.as_view(), name="unknown-address"),
    re_path(rf"^(?:{_OURS})(?:/(?s:.*))?(?<!/)\Z", add_slash, name="without-slash"),
]

if apps.is_installed("drf_spectacular"):
    import_module("tms_webhooks.api.schema.fields")
