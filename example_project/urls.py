"""The addresses of the example project."""

from __future__ import annotations

from importlib.util import find_spec

from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path, re_path
from django.utils.translation import gettext_lazy
from django.views.generic import RedirectView

from tms_webhooks.admin import CustomerSite
from tms_webhooks.api.urls import unknown_url

NAME = "Training Management System"
admin.site.site_header = admin.site.site_title = NAME
admin.site.index_title = "Administration"
# Django's template for its own admin.
LOGIN = {"title": gettext_lazy("Log in"), "site_header": NAME, "site_title": NAME}


class Customers(CustomerSite):
    """The pages of webhooks for administrators of organizations, who are not staff."""

    site_header = f"{NAME}: webhooks"
    logout_url = "/logout/"


urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("login/", LoginView.as_view(template_name="admin/login.html", extra_context=LOGIN), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("customers/", Customers().urls),
    path("admin/", admin.site.urls),
    path("api/2.0/", include("example_project.training.api")),
    path("api/", include("tms_webhooks.api.schema.urls")),
    path("api/", include("tms_webhooks.api.urls")),
    path("webhooks/health/", include("tms_webhooks.telemetry.health")),
    # With the extra `mcp`.
    *([path("mcp/", include("tms_webhooks.mcp.urls"))] if find_spec("mcp") else []),
    # Instead of pages for people.
    re_path(r"^api(?:/(?!2\.0/)|$)", unknown_url),
]
