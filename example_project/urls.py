"""The addresses of the example project."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

admin.site.site_header = admin.site.site_title = "Training Management System"
admin.site.index_title = "Administration"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("api/2.0/", include("example_project.training.api")),
    path("api/", include("tms_webhooks.api.schema.urls")),
    path("api/", include("tms_webhooks.api.urls")),
]
