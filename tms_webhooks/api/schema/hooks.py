"""What drf-spectacular calls: hooks for ``SPECTACULAR_SETTINGS`` of a host and of this API, and extensions.

Defining an extension registers it, so importing this module is enough.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension, OpenApiSerializerFieldExtension

from tms_webhooks.api.serializers.base import Schema
from tms_webhooks.api.views.resource import ResourceViewSet
from tms_webhooks.documents import with_webhooks


def add_webhooks(result: dict[str, Any], **_context: Any) -> dict[str, Any]:
    """Add the ``webhooks`` section: the requests that receivers get. A ``POSTPROCESSING_HOOK``, for ``OAS_VERSION`` 3.1."""
    return with_webhooks(result)


def only_webhooks_api(endpoints: list[Any], **_context: Any) -> list[Any]:
    """Return only the endpoints of this API. A ``PREPROCESSING_HOOK``."""
    return [endpoint for endpoint in endpoints if issubclass(endpoint[3].cls, ResourceViewSet)]


class DescribedFieldExtension(OpenApiSerializerFieldExtension):
    """The fields that give their own schemas."""

    target_class = "tms_webhooks.api.serializers.base.DescribedField"
    match_subclasses = True

    def get_name(self) -> str:
        return self.target.component

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Schema:
        return self.target.json_schema


class EmptySerializerExtension(OpenApiSerializerExtension):
    """The empty body, which drf-spectacular would omit."""

    target_class = "tms_webhooks.api.serializers.actions.EmptySerializer"

    def map_serializer(self, auto_schema: Any, direction: Any) -> Schema:
        return {"type": "object", "description": "No body, or an empty one.", "additionalProperties": False}
