"""The schemas of our own fields, and of the serializer that has none.

Defining an extension registers it, so importing this module is enough.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension, OpenApiSerializerFieldExtension

from tms_webhooks.api.schema.shapes import KEY, ORGANIZATION_KEY, Schema

PREFIX = "tms_webhooks.api.serializers"


class KeyFieldExtension(OpenApiSerializerFieldExtension):
    """Our own keys."""

    target_class = f"{PREFIX}.fields.KeyField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Schema:
        """Return the schema."""
        return KEY


class OrganizationKeyExtension(OpenApiSerializerFieldExtension):
    """The host's keys of organizations, which may be numbers or strings."""

    target_class = f"{PREFIX}.fields.OrganizationKeyField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Schema:
        """Return the schema."""
        return ORGANIZATION_KEY


class OrganizationFieldExtension(OrganizationKeyExtension):
    """The same key as a field that can be set."""

    target_class = f"{PREFIX}.webhooks.OrganizationField"


class HeadersFieldExtension(OpenApiSerializerFieldExtension):
    """A webhook's own headers."""

    target_class = f"{PREFIX}.lines.HeadersField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Schema:
        """Return the schema; in a response each value is a mask."""
        value = {"type": ["string", "null"]} if direction == "request" else {"type": "string"}
        return {"type": "object", "additionalProperties": value}


class NothingExtension(OpenApiSerializerExtension):
    """An empty body, which drf-spectacular would leave out."""

    target_class = f"{PREFIX}.requests.NothingSerializer"

    def map_serializer(self, auto_schema: Any, direction: Any) -> Schema:
        """Return the schema."""
        return {"type": "object", "description": "No body, or an empty one.", "additionalProperties": False}
