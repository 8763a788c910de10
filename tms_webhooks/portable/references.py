"""Ids in filters: whether the host has what they name, or the document is another environment's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models

from tms_webhooks.sources.base import Source
from tms_webhooks.sources.registry import all_sources

NAMED = ("course", "class", "organization")
"""What filters name by ids."""


def missing(filters: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each kind of thing that filters name by ids of which the host has none."""
    for name in NAMED:
        wanted, target = filters.get(name), _target(name)
        if isinstance(wanted, list) and target is not None:
            lost = [str(key) for key in wanted if not _is_there(*target, key)]
            if lost:
                yield f"filters.{name}: there is none with the id {', '.join(lost)} here; is this document another environment's?"


def _target(name: str) -> tuple[type[models.Model], str] | None:
    """Return the host's model of what filters call ``name``, and its field that payloads have as the id, if a source tells."""
    for source in all_sources():
        field_name = "id" if source.noun.name == name else f"{name}.id"
        found = _end(source, field_name)
        if found is not None:
            return found
    return None


def _end(source: Source, field_name: str) -> tuple[type[models.Model], str] | None:
    mapped = source.mapped.get(field_name)
    if mapped is None or not isinstance(mapped.lookup, str):
        return None
    model: Any = source.model
    found: tuple[type[models.Model], str] | None = None
    for part in mapped.lookup.split("__"):
        field: Any = model._meta.pk if part == "pk" else model._meta.get_field(part)
        if field.related_model is None:
            return model, field.name
        found, model = (field.related_model, field.target_field.name), field.related_model
    return found


def _is_there(model: type[models.Model], name: str, key: Any) -> bool:
    try:
        return model._base_manager.filter(**{name: key}).exists()
    except (ValidationError, ValueError, TypeError, OverflowError):
        return False
