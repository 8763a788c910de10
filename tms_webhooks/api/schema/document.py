"""The OpenAPI document of this API alone, with the URLs of the host."""

from __future__ import annotations

from functools import cache
from threading import Lock
from typing import Any

from django.utils import translation
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.settings import patched_settings

from tms_webhooks import __version__

SETTINGS: dict[str, Any] = {
    "TITLE": "Webhooks",
    "DESCRIPTION": (
        "Manage an organization's webhooks and read its delivery log. Errors are problem details (RFC 9457). Lists have "
        "pages; `next` is the URL of the next page. Unknown fields and parameters are rejected."
    ),
    "VERSION": __version__,
    "LICENSE": {"name": "MIT", "identifier": "MIT"},
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
