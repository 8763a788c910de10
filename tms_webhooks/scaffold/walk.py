"""Find the paths of foreign keys that lead from a model to another one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.db import models

from tms_webhooks.conf import ORGANIZATION_MODEL_SETTING

LONGEST = 3
"""The most foreign keys of a path."""

# Foreign keys to a person or object that is not the subject of the row.
_OTHERS = frozenset({"manager", "supervisor", "creator", "author", "approver", "editor", "parent", "referrer"})

Target = Callable[[type[models.Model]], bool]


def foreign_keys(model: type[models.Model]) -> list[Any]:
    """Return the model's foreign keys, those to the row's subject first; then the reverse sides of one-to-one fields."""
    found = [field for field in model._meta.get_fields() if _leads_on(field)]
    return sorted(found, key=_rank)


def paths_to(model: type[models.Model], is_target: Target, *, longest: int = LONGEST) -> list[str]:
    """Return the paths from ``model`` to the models that ``is_target`` accepts, the shortest first."""
    return [path for path, _target in _walk(model, is_target, longest)]


def is_organization(model: type[models.Model]) -> bool:
    """Return whether this is the organization model, or a proxy of it."""
    label = str(getattr(settings, ORGANIZATION_MODEL_SETTING, ""))
    return (model._meta.concrete_model or model)._meta.label.lower() == label.lower()


def is_account(model: type[models.Model]) -> bool:
    """Return whether this is the user model."""
    return model._meta.label.lower() == settings.AUTH_USER_MODEL.lower()


def _walk(model: type[models.Model], is_target: Target, longest: int) -> Iterator[tuple[str, type[models.Model]]]:
    level = [("", model, frozenset([model]))]
    for _length in range(longest):
        following = []
        for prefix, current, seen in level:
            for field in foreign_keys(current):
                related: Any = field.related_model
                if is_target(related):
                    yield f"{prefix}{field.name}", related
                elif related not in seen:
                    following.append((f"{prefix}{field.name}.", related, seen | {related}))
        level = following


def _leads_on(field: Any) -> bool:
    if not isinstance(field.related_model, type) or field.many_to_many or field.one_to_many:
        return False
    # Neither side of the link to a parent model's own row: Django creates the forward one, too.
    relation = field.remote_field if field.concrete else field
    return bool(field.many_to_one or (field.one_to_one and not relation.parent_link))


def _rank(field: Any) -> tuple[bool, bool, bool]:
    """Return a sort key: own foreign keys first, then those of the subject, then those that are never null."""
    other = field.name in _OTHERS or field.name.endswith("_by")
    return bool(field.auto_created and not field.concrete), other, bool(field.null)
