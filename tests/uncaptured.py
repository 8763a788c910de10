"""Writes that capture does not see, as raw SQL of the host would be: Django's own methods of a queryset."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from django.db.models import Model, QuerySet


def update(rows: QuerySet[Any], **values: Any) -> int:
    """Update these rows without events, and return their number."""
    return _own("update")(rows, **values)


def bulk_create(rows: QuerySet[Any], objs: list[Any], **options: Any) -> list[Any]:
    """Insert these objects without events."""
    return _own("bulk_create")(rows, objs, **options)


def insert(instance: Model) -> None:
    """Insert the row of ``instance`` without events, and no row of its parents, as a fixture does."""
    with patch("tms_webhooks.capture.querysets.is_loading_fixture", return_value=True):
        instance.save_base(raw=True, force_insert=True)


def _own(name: str) -> Any:
    method = getattr(QuerySet, name)
    return getattr(method, "__wrapped__", method)
