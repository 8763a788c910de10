"""Writes that capture does not see, as raw SQL of the host would be: Django's own methods of a queryset."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet


def update(rows: QuerySet[Any], **values: Any) -> int:
    """Update these rows without events, and return their number."""
    return _own("update")(rows, **values)


def bulk_create(rows: QuerySet[Any], objs: list[Any], **options: Any) -> list[Any]:
    """Insert these objects without events."""
    return _own("bulk_create")(rows, objs, **options)


def _own(name: str) -> Any:
    method = getattr(QuerySet, name)
    return getattr(method, "__wrapped__", method)
