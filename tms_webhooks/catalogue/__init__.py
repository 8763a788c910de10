"""The catalogue of event types: their names, payload schemas and samples. Importing it registers the built-in types."""

from __future__ import annotations

from tms_webhooks.catalogue import types
from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.catalogue.registry import (
    all_types,
    expand,
    get,
    grouped,
    noun,
    register,
)
from tms_webhooks.catalogue.schema import Field, FieldKind, Noun
from tms_webhooks.catalogue.types import references
from tms_webhooks.catalogue.values import status_name, status_value
from tms_webhooks.choices import FieldPrivacy

__all__ = [
    "EventType",
    "Field",
    "FieldKind",
    "FieldPrivacy",
    "Noun",
    "all_types",
    "expand",
    "get",
    "grouped",
    "noun",
    "references",
    "register",
    "status_name",
    "status_value",
    "types",
]
