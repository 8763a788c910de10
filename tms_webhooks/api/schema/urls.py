"""URLs of the API documents and of a page that shows them: ``path("api/", include("tms_webhooks.api.schema.urls"))``.

They are public, because they contain no data of any organization. The page loads its files from the app
``drf_spectacular_sidecar``, which must be installed, and none from other servers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import path
from django.views.generic import TemplateView

from tms_webhooks import catalogue
from tms_webhooks.api import problems
from tms_webhooks.api.schema.document import document
from tms_webhooks.catalogue.custom import cached
from tms_webhooks.documents import asyncapi_document
from tms_webhooks.documents import forwarder as forwarding_program
from tms_webhooks.documents.typed_python import python
from tms_webhooks.documents.typed_typescript import typescript

app_name = "tms_webhooks_schema"

FORWARDER = Path(forwarding_program.__file__).read_bytes()
"""A program that users download; its digest is on the page."""


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
def python_types(_request: HttpRequest) -> HttpResponse:
    """Return the event types as Python."""
    return _file("tms_events.py", _python_module())


@read_only
def typescript_types(_request: HttpRequest) -> HttpResponse:
    """Return the event types as TypeScript."""
    return _file("tms_events.ts", _typescript_module())


@read_only
def forwarder(_request: HttpRequest) -> HttpResponse:
    """Return the program that forwards events to a receiver on its user's machine."""
    return _file("webhooks-forward.py", FORWARDER)


# Rendered once for each state of the catalogue: any client may request them.


@cached
def _asyncapi_json() -> bytes:
    return JsonResponse(asyncapi_document()).content


@cached
def _python_module() -> bytes:
    return python(catalogue.all_types()).encode()


@cached
def _typescript_module() -> bytes:
    return typescript(catalogue.all_types()).encode()


def _file(name: str, text: bytes) -> HttpResponse:
    """Return a text in UTF-8 that browsers save as a file."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return HttpResponse(text, content_type="text/plain; charset=utf-8", headers=headers)


urlpatterns = [
    path("openapi.json", openapi, name="openapi"),
    path("asyncapi.json", asyncapi, name="asyncapi"),
    path("tms_events.py", python_types, name="python"),
    path("tms_events.ts", typescript_types, name="typescript"),
    path("webhooks-forward.py", forwarder, name="forwarder"),
    path(
        "docs/",
        read_only(
            TemplateView.as_view(
                template_name="tms_webhooks/documentation.html",
                extra_context={"forwarder_sha256": hashlib.sha256(FORWARDER).hexdigest()},
            )
        ),
        name="documentation",
    ),
]
