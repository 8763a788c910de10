"""drf-spectacular extensions: the schemas of the API's own fields, and of the empty body.

Defining an extension registers it, so importing this module is enough.
"""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension, OpenApiSerializerFieldExtension

from tms_webhooks.api.schema.shapes import ID, ORGANIZATION_ID, Schema
from tms_webhooks.models.credentials import FIELDS, field_names

PREFIX = "tms_webhooks.api.serializers"


class IDFieldExtension(OpenApiSerializerFieldExtension):
    """The ids of the app's rows."""

    target_class = f"{PREFIX}.fields.IDField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Schema:
        """Return the schema."""
        return ID


class OrganizationIDExtension(OpenApiSerializerFieldExtension):
    """The ids of organizations: the host's own, numbers or strings."""

    target_class = f"{PREFIX}.fields.OrganizationIDField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Schema:
        """Return the schema."""
        return ORGANIZATION_ID


class OrganizationFieldExtension(OrganizationIDExtension):
    """The same id as a writable field."""

    target_class = f"{PREFIX}.webhook_fields.OrganizationField"


class HeadersFieldExtension(OpenApiSerializerFieldExtension):
    """A webhook's own headers."""

    target_class = f"{PREFIX}.webhook_fields.HeadersField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Schema:
        """Return the schema. In a request, null removes a header; in a response, each value is a mask."""
        value = {"type": ["string", "null"]} if direction == "request" else {"type": "string"}
        return {"type": "object", "additionalProperties": value}


class AuthenticationFieldExtension(OpenApiSerializerFieldExtension):
    """How a webhook's requests authenticate."""

    target_class = f"{PREFIX}.webhook_fields.AuthenticationField"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Schema:
        """Return the schema: each kind has some of the values. In a request, null removes one; secrets are masked in a response."""
        value = {"type": ["string", "null"]} if direction == "request" else {"type": "string"}
        # A change without a kind keeps the stored one.
        is_change = direction == "request" and auto_schema.method == "PATCH"
        return {
            "type": "object",
            "properties": {
                "kind": {"type": "string", "enum": list(FIELDS)},
                **{name: dict(value) for name in field_names()},
            },
            **({} if is_change else {"required": ["kind"]}),
            "additionalProperties": False,
        }


class EmptySerializerExtension(OpenApiSerializerExtension):
    """The empty body, which drf-spectacular would omit."""

    target_class = f"{PREFIX}.actions.EmptySerializer"

    def map_serializer(self, auto_schema: Any, direction: Any) -> Schema:
        """Return the schema."""
        return {"type": "object", "description": "No body, or an empty one.", "additionalProperties": False}
