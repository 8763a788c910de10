"""The URLs of the host: the API, and its document where the extra is installed."""

from __future__ import annotations

from django.apps import apps
from django.urls import include, path

urlpatterns = [path("api/", include("tms_webhooks.api.urls"))]
if apps.is_installed("drf_spectacular"):
    urlpatterns.insert(0, path("api/", include("tms_webhooks.api.schema.urls")))
