"""Find the paths of foreign keys that lead from a model to another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import models

from tms_webhooks.conf import ORGANIZATION_MODEL_SETTING

LONGEST = 4
"""The most foreign keys of a path."""


def foreign_keys(model: type[models.Model]) -> list[Any]:
    """Return the model's foreign keys, first those that are never null; then the reverse sides of one-to-one fields.

    The link between a model and one that extends it is none, seen from either side.
    """
    found = [field for field in model._meta.get_fields() if isinstance(field.related_model, type)]
    to_one = [field for field in found if field.many_to_one or field.one_to_one]
    links = (field.remote_field if field.concrete else field for field in to_one)
    keys = [field for field, link in zip(to_one, links, strict=True) if not getattr(link, "parent_link", False)]
    return sorted(keys, key=lambda field: (not field.concrete, field.name.endswith("_by"), field.null))


def paths_to(
    model: type[models.Model], is_target: Callable[[type[models.Model]], bool], *, longest: int = LONGEST
) -> list[str]:
    """Return the paths from ``model`` to the models that ``is_target`` accepts, the shortest first."""
    found = []
    level = [("", model, frozenset([model]))]
    for _length in range(longest):
        following = []
        for prefix, current, seen in level:
            for key in foreign_keys(current):
                related: Any = key.related_model
                if is_target(related):
                    found.append(f"{prefix}{key.name}")
                elif related not in seen:
                    following.append((f"{prefix}{key.name}.", related, seen | {related}))
        level = following
    return found


def is_organization(model: type[models.Model]) -> bool:
    """Return whether this is the organization model, or a proxy of it."""
    label = str(getattr(settings, ORGANIZATION_MODEL_SETTING, ""))
    return (model._meta.concrete_model or model)._meta.label.lower() == label.lower()
