"""URLs of the API documents and of a page that shows them: ``path("api/", include("tms_webhooks.api.schema.urls"))``.

They are public, because they contain no data of any organization. The page loads its files from the app
``drf_spectacular_sidecar``, which must be installed, and none from other servers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from threading import Lock
from typing import Any

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.utils import translation
from django.views.decorators.csrf import csrf_exempt
from django.views.generic import TemplateView
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.settings import patched_settings
from rest_framework.exceptions import MethodNotAllowed

from tms_webhooks import __version__, catalogue
from tms_webhooks.api.problems import CONTENT_TYPE, details_of
from tms_webhooks.catalogue.custom import cached
from tms_webhooks.documents.schemas import event_schema

SETTINGS: dict[str, Any] = {
    "TITLE": "Webhooks",
    "DESCRIPTION": (
        "Manage an organization's webhooks and read its delivery log. Errors are problem details (RFC 9457). Lists have "
        "pages; `next` is the URL of the next page. Unknown fields and parameters are rejected."
    ),
    "VERSION": __version__,
    "LICENSE": {"name": "MIT", "identifier": "MIT"},
    "TAGS": [
        {"name": name, "description": description}
        for name, description in {
            "Webhooks": "URLs that get the events of an organization, and actions on them.",
            "Subscriptions": "The events of a webhook, with filters.",
            "Secrets": "The secrets that sign the requests of a webhook.",
            "Hooks": "Webhooks with one event each, which programs make for themselves.",
            "Deliveries": "The log: each event for each webhook, with its attempts.",
            "Jobs": "Replays, snapshots and other actions on many deliveries.",
            "Events": "Feeds of all events in a stable order.",
            "Event types": "The catalogue, with schemas and examples.",
            "Caller": "Your organizations, and your rights in each.",
        }.items()
    ],
    "SERVERS": [{"url": "/", "description": "This server"}],
    "OAS_VERSION": "3.1.0",
    "COMPONENT_SPLIT_REQUEST": True,
    "PREPROCESSING_HOOKS": ["tms_webhooks.api.schema.hooks.only_webhooks_api"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "tms_webhooks.api.schema.hooks.add_webhooks",
    ],
    "ENUM_NAME_OVERRIDES": {
        "DeliveryStatus": "tms_webhooks.choices.DeliveryStatus",
        "JobStatus": "tms_webhooks.choices.JobStatus",
    },
}

# patched_settings() changes the settings of the whole process, so only one thread may use it.
_lock = Lock()


def document() -> dict[str, Any]:
    """Return the OpenAPI document, in English. Each call returns the same object: do not change it."""
    with _lock:
        return _document()


@cache
def _document() -> dict[str, Any]:
    with patched_settings(SETTINGS), translation.override("en"):
        return SchemaGenerator().get_schema(request=None, public=True)


app_name = "tms_webhooks_schema"


def openapi(request: HttpRequest) -> JsonResponse:
    """Return the OpenAPI document, with the URL of this server."""
    server = {"url": request.build_absolute_uri("/").rstrip("/"), "description": "This server"}
    return JsonResponse({**document(), "servers": [server]})


# Rendered once for each state of the catalogue: any client may request it.


@cached
def _schema_json() -> bytes:
    return JsonResponse(event_schema(catalogue.all_types())).content


@csrf_exempt
def published(request: HttpRequest, page: Callable[..., HttpResponse]) -> HttpResponse:
    """Return a page for GET and HEAD; other methods get a problem instead of Django's empty answer."""
    if request.method in ("GET", "HEAD"):
        return page(request)
    details = details_of(MethodNotAllowed(str(request.method)))
    return JsonResponse(details, status=405, headers={"Allow": "GET, HEAD"}, content_type=CONTENT_TYPE)


urlpatterns = [
    path("openapi.json", published, {"page": openapi}, name="openapi"),
    path(
        "events.schema.json",
        published,
        {"page": lambda _request: HttpResponse(_schema_json(), content_type="application/schema+json")},
        name="json-schema",
    ),
    path(
        "docs/",
        published,
        {"page": TemplateView.as_view(template_name="tms_webhooks/documentation.html")},
        name="documentation",
    ),
]
