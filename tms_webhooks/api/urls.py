"""The addresses of the API. A host includes them under a prefix of its own: ``path("api/", include("tms_webhooks.api.urls"))``."""

from __future__ import annotations

from rest_framework.routers import SimpleRouter

from tms_webhooks.api.views.webhooks import WebhookViewSet

app_name = "tms_webhooks"

router = SimpleRouter()
router.register("webhooks", WebhookViewSet, basename="webhook")

urlpatterns = router.urls
