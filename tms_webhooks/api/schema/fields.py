"""How drf-spectacular sees our fields."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerFieldExtension

from tms_webhooks.api.schema.shapes import KEY, Schema

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
        return {"type": ["integer", "string"], "description": "The organization's id."}


class OrganizationFieldExtension(OrganizationKeyExtension):
    """The same, where it can be set."""

    target_class = f"{PREFIX}.webhooks.OrganizationField"


class HeadersFieldExtension(OpenApiSerializerFieldExtension):
    """A webhook's own headers."""

    target_class = f"{PREFIX}.lines.HeadersField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Schema:
        """Return the schema; in an answer each value is a mask."""
        value = {"type": ["string", "null"]} if direction == "request" else {"type": "string"}
        return {"type": "object", "additionalProperties": value}
