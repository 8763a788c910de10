"""The document of this API alone, at the addresses that the host gave it."""

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
        "Manage an organization's webhooks, and see what was sent. Errors are problem details (RFC 9457); lists are read page "
        "by page, by the addresses in `next`; a field or parameter that there is not is refused by name."
    ),
    "VERSION": __version__,
    "OAS_VERSION": "3.1.0",
    "COMPONENT_SPLIT_REQUEST": True,
    "PREPROCESSING_HOOKS": ["tms_webhooks.api.schema.hooks.only_ours"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "tms_webhooks.api.schema.hooks.add_webhooks",
    ],
    "ENUM_NAME_OVERRIDES": {
        "DeliveryStatus": "tms_webhooks.choices.DeliveryStatus",
        "JobStatus": "tms_webhooks.choices.JobStatus",
    },
}

# The settings of drf-spectacular are those of the process.
_lock = Lock()


def document() -> dict[str, Any]:
    """Return the OpenAPI document. It is made once in a process, in English; leave it as it is."""
    with _lock:
        return _document()


@cache
def _document() -> dict[str, Any]:
    with patched_settings(SETTINGS), translation.override("en"):
        made: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)
    return made
