"""URLs of the API documents and of a page that shows them: ``path("api/", include("tms_webhooks.api.schema.urls"))``.

They are public, because they contain no data of any organization. The page loads its files from the app
``drf_spectacular_sidecar``, which must be installed, and none from other servers.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.http import require_safe
from django.views.generic import TemplateView

from tms_webhooks import catalogue
from tms_webhooks.api.schema.document import document
from tms_webhooks.catalogue.custom import cached
from tms_webhooks.documents.schemas import event_schema

app_name = "tms_webhooks_schema"


@require_safe
def openapi(request: HttpRequest) -> JsonResponse:
    """Return the OpenAPI document, with the URL of this server."""
    server = {"url": request.build_absolute_uri("/").rstrip("/"), "description": "This server"}
    return JsonResponse({**document(), "servers": [server]})


@require_safe
def json_schema(_request: HttpRequest) -> HttpResponse:
    """Return the JSON Schema of all events."""
    return HttpResponse(_schema_json(), content_type="application/schema+json")


# Rendered once for each state of the catalogue: any client may request it.


@cached
def _schema_json() -> bytes:
    return JsonResponse(event_schema(catalogue.all_types())).content


urlpatterns = [
    path("openapi.json", openapi, name="openapi"),
    path("events.schema.json", json_schema, name="json-schema"),
    path(
        "docs/",
        require_safe(TemplateView.as_view(template_name="tms_webhooks/documentation.html")),
        name="documentation",
    ),
]
