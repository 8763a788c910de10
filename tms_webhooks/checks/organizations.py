"""Checks of the paths from an object to its organizations, and from an organization to its parent."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage
from django.db import models

from tms_webhooks.checks.messages import guess_for_hint, message
from tms_webhooks.checks.settings import usable
from tms_webhooks.conf import ORGANIZATION_MODEL_SETTING
from tms_webhooks.event_names import did_you_mean
from tms_webhooks.scaffold.walk import is_organization, paths_to
from tms_webhooks.sources.aggregates import list_at, list_relation
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.mapping import follow
from tms_webhooks.sources.paths import BrokenPath, broken_path

MOST_GUESSES = 3
"""How many paths to an organization a hint lists."""


def check(source: Source) -> Iterator[CheckMessage]:
    """Yield problems with the organization paths of one source."""
    organization = organization_model()
    if organization is None:
        return
    name = "organization" if source.organizations is None else "organizations"
    problem, suggestion = _problem_with_owner(source, organization)
    if problem:
        yield message(
            "E035",
            f"{name} is {getattr(source, name)!r}, but {problem}.",
            hint=f"Write the path from {source.model._meta.label} to {organization._meta.label}, such as "
            f'{name} = "user.{name}".{suggestion}{_guesses(source, "organization")}',
            obj=source,
        )
    if not isinstance(source.learner_organization, str):
        return
    problem, suggestion = _problem_with(source.learner_organization, source.model, organization)
    if problem:
        yield message(
            "E036",
            f"learner_organization is {source.learner_organization!r}, but {problem}.",
            hint=f"Write the path to the learner's {organization._meta.label}, or learner_organization = None."
            f"{suggestion}{_guesses(source, 'learner_organization')}",
            obj=source,
        )


@guess_for_hint
def _guesses(source: Source, name: str) -> str:
    """Return the paths of foreign keys to an organization, ready to paste, with a leading space; or an empty text."""
    found = (f'{name} = "{path}"' for path in paths_to(source.model, is_organization)[:MOST_GUESSES])
    lines = " or ".join(found)
    return f" These lead there: {lines}." if lines else ""


def check_tree(**_kwargs: Any) -> list[CheckMessage]:
    """Check that ORGANIZATION_PARENT, if set, names the foreign key to the parent organization."""
    organization, name = organization_model(), usable("ORGANIZATION_PARENT")
    if organization is None or not name:
        return []
    parents = [field.name for field in organization._meta.get_fields() if _is_parent(field, organization)]
    if name in parents:
        return []
    return [
        message(
            "E016",
            f"ORGANIZATION_PARENT is {name!r}, which is not a foreign key of {organization._meta.label} to itself.",
            hint="Name a foreign key of the organization model to itself, or remove the setting. Without it, no webhook can "
            f"include child organizations.{did_you_mean(parents)}",
        )
    ]


def _is_parent(field: Any, organization: type[models.Model]) -> bool:
    target = field.related_model if field.many_to_one and field.concrete else None
    return target is organization and bool(field.target_field.primary_key)


def organization_model() -> type[models.Model] | None:
    """Return the organization model, or None if the setting names none."""
    try:
        return apps.get_model(str(getattr(settings, ORGANIZATION_MODEL_SETTING, None)))
    except (LookupError, ValueError):
        return None  # settings.check_organization_model reports it


def _problem_with_owner(source: Source, organization: type[models.Model]) -> tuple[str, str]:
    if source.organizations is not None:
        return _problem_with_owners(source, organization)
    mapped = source.mapped.get("organization.id")
    problem, suggestion = "", ""
    # A host may map the key column directly.
    if isinstance(source.organization, str) and ("organization.id" not in source.paths or mapped is None):
        problem, suggestion = _problem_with(source.organization, source.model, organization)
    return problem, suggestion


def _problem_with_owners(source: Source, organization: type[models.Model]) -> tuple[str, str]:
    path = source.organizations
    found = list_at(source.model, path) if isinstance(path, str) else None
    if found is not None:
        _base, relation, rest = found
        if rest:
            return _problem_with(rest, relation.listed, organization)
        is_right = relation.listed._meta.concrete_model is organization._meta.concrete_model
        return ("", "") if is_right else (f"it leads to {relation.listed._meta.label}", "")
    broken = broken_path(source.model, path) if isinstance(path, str) else None
    if broken is None and isinstance(path, str) and follow(source.model, path) is not None:
        return "it leads to one object", ""
    return (str(broken), _list_like(broken)) if broken is not None else ("", "")


def _list_like(broken: BrokenPath) -> str:
    """Return a suggestion of lists with near names."""
    lists = [field.name for field in broken.model._meta.get_fields() if list_relation(broken.model, field.name)]
    return did_you_mean(difflib.get_close_matches(broken.part, lists)) or broken.suggestion


def _problem_with(path: str, model: type[models.Model], organization: type[models.Model]) -> tuple[str, str]:
    """Return why ``path`` does not lead to an organization, and a suggestion of near names.

    Both are empty if it does, or if only a value could show it.
    """
    found = broken_path(model, f"{path}.pk")
    if found is not None:
        return str(found), found.suggestion
    target = follow(model, path)
    if target is None or target._meta.concrete_model is organization._meta.concrete_model:
        return "", ""
    return f"it leads to {target._meta.label}", ""
