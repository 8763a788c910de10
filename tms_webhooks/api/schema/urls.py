"""URLs of the API documents and of a page that shows them: ``path("api/", include("tms_webhooks.api.schema.urls"))``.

They are public, because they contain no data of any organization. The page loads its files from the app
``drf_spectacular_sidecar``, which must be installed, and none from other servers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import path
from django.views.generic import TemplateView

from tms_webhooks import catalogue
from tms_webhooks.api import problems
from tms_webhooks.api.schema.document import document
from tms_webhooks.catalogue.custom import cached
from tms_webhooks.documents import asyncapi_document
from tms_webhooks.documents.schemas import event_schema

app_name = "tms_webhooks_schema"


def read_only(view: Callable[..., HttpResponseBase]) -> Callable[..., HttpResponseBase]:
    """Return the view; it answers other methods than GET and HEAD with a problem."""

    @wraps(view)
    def only_read(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        if request.method not in ("GET", "HEAD"):
            return problems.method_not_allowed(str(request.method))
        return view(request, **kwargs)

    return only_read


@read_only
def openapi(request: HttpRequest) -> JsonResponse:
    """Return the OpenAPI document, with the URL of this server."""
    server = {"url": request.build_absolute_uri("/").rstrip("/"), "description": "This server"}
    return JsonResponse({**document(), "servers": [server]})


@read_only
def asyncapi(_request: HttpRequest) -> HttpResponse:
    """Return the AsyncAPI document."""
    return HttpResponse(_asyncapi_json(), content_type="application/json")


@read_only
def json_schema(_request: HttpRequest) -> HttpResponse:
    """Return the JSON Schema of all events."""
    return HttpResponse(_schema_json(), content_type="application/schema+json")


# Rendered once for each state of the catalogue: any client may request them.


@cached
def _asyncapi_json() -> bytes:
    return JsonResponse(asyncapi_document()).content


@cached
def _schema_json() -> bytes:
    return JsonResponse(event_schema(catalogue.all_types())).content


urlpatterns = [
    path("openapi.json", openapi, name="openapi"),
    path("asyncapi.json", asyncapi, name="asyncapi"),
    path("events.schema.json", json_schema, name="json-schema"),
    path(
        "docs/",
        read_only(TemplateView.as_view(template_name="tms_webhooks/documentation.html")),
        name="documentation",
    ),
]
