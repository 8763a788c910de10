"""The names of drf-spectacular that the API uses, or replacements that do nothing if the host has not installed it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeVar

from django.apps import apps

__all__ = [
    "AutoSchema",
    "OpenApiParameter",
    "ResolvedComponent",
    "extend_schema_field",
    "no_list",
    "parameter",
    "utils",
]

Field = TypeVar("Field")

if apps.is_installed("drf_spectacular"):
    from drf_spectacular import utils
    from drf_spectacular.openapi import AutoSchema
    from drf_spectacular.plumbing import ResolvedComponent
    from drf_spectacular.utils import OpenApiParameter
else:
    from rest_framework.schemas import DefaultSchema as AutoSchema

    utils = None
    OpenApiParameter = ResolvedComponent = SimpleNamespace


def extend_schema_field(schema: Any) -> Callable[[Field], Field]:
    """Return a decorator that describes a filter or a method of a serializer, or one that does nothing."""
    return utils.extend_schema_field(schema) if utils else lambda field: field


def no_list(serializer: Field) -> Field:
    """Return the serializer, marked as the whole answer of an action ``list``: its pages are no pages of rows."""
    return utils.extend_schema_serializer(many=False)(serializer) if utils else serializer


def parameter(
    name: str, schema: dict[str, Any], description: str, *, location: str = "query", **more: Any
) -> OpenApiParameter:
    """Return a parameter of a request, or with ``response`` a header of a response."""
    return OpenApiParameter(name=name, type=schema, location=location, description=description, **more)
