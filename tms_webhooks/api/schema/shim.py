"""The names of drf-spectacular that the API uses, or replacements that do nothing if the host has not installed it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, TypeVar

from django.apps import apps

__all__ = ["AutoSchema", "OpenApiParameter", "ResolvedComponent", "extend_schema_field", "utils"]

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


def extend_schema_field(schema: dict[str, Any]) -> Callable[[Field], Field]:
    """Return a decorator that describes a filter, or one that does nothing."""
    return utils.extend_schema_field(schema) if utils else lambda field: field
