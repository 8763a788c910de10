"""Hooks of drf-spectacular, for ``SPECTACULAR_SETTINGS`` of a host and of this API."""

from __future__ import annotations

from typing import Any

from tms_webhooks.api.views.resource import ResourceViewSet
from tms_webhooks.documents import with_webhooks


def add_webhooks(result: dict[str, Any], **_context: Any) -> dict[str, Any]:
    """Add the ``webhooks`` section: the requests that receivers get. A ``POSTPROCESSING_HOOK``, for ``OAS_VERSION`` 3.1."""
    return with_webhooks(result)


def only_webhooks_api(endpoints: list[Any], **_context: Any) -> list[Any]:
    """Return only the endpoints of this API. A ``PREPROCESSING_HOOK``."""
    return [endpoint for endpoint in endpoints if issubclass(endpoint[3].cls, ResourceViewSet)]
