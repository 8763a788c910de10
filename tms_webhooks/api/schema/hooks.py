"""Hooks for ``SPECTACULAR_SETTINGS``."""

from __future__ import annotations

from typing import Any

from tms_webhooks.api.views.bases import ResourceViewSet
from tms_webhooks.documents import with_webhooks


def add_webhooks(result: dict[str, Any], **_context: Any) -> dict[str, Any]:
    """Add the requests that receivers get. One of the ``POSTPROCESSING_HOOKS``, for ``OAS_VERSION`` 3.1."""
    return with_webhooks(result)


def only_ours(endpoints: list[Any], **_context: Any) -> list[Any]:
    """Keep only the views of this API. One of the ``PREPROCESSING_HOOKS``."""
    return [endpoint for endpoint in endpoints if issubclass(endpoint[3].cls, ResourceViewSet)]
