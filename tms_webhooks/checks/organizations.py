"""Checks of the paths from an object to its organizations, and from an organization to its parent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage
from django.db import models

from tms_webhooks.checks.messages import message
from tms_webhooks.checks.paths import broken_path
from tms_webhooks.checks.settings import usable
from tms_webhooks.conf import ORGANIZATION_MODEL_SETTING
from tms_webhooks.event_names import did_you_mean
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.mapping import follow


def check(source: Source) -> Iterator[CheckMessage]:
    """Yield problems with the organization paths of one source."""
    organization = _organization_model()
    if organization is None:
        return
    problem, suggestion = _problem_with_owner(source, organization)
    if problem:
        yield message(
            "E035",
            f"organization is {source.organization!r}, but {problem}.",
            hint=f"Write the path from {source.model._meta.label} to {organization._meta.label}, such as "
            f'organization = "user.organization".{suggestion}',
            obj=source,
        )
    if source.learner_organization is None:
        return
    problem, suggestion = _problem_with(source.learner_organization, source.model, organization)
    if problem:
        yield message(
            "E036",
            f"learner_organization is {source.learner_organization!r}, but {problem}.",
            hint=f"Write the path to the learner's {organization._meta.label}, or learner_organization = None.{suggestion}",
            obj=source,
        )


def check_tree(**_kwargs: Any) -> list[CheckMessage]:
    """Check that ORGANIZATION_PARENT, if set, names the foreign key to the parent organization."""
    organization, name = _organization_model(), usable("ORGANIZATION_PARENT")
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


def _organization_model() -> type[models.Model] | None:
    try:
        return apps.get_model(str(getattr(settings, ORGANIZATION_MODEL_SETTING, None)))
    except (LookupError, ValueError):
        return None  # settings.check_organization_model reports it


def _problem_with_owner(source: Source, organization: type[models.Model]) -> tuple[str, str]:
    mapped = source.mapped.get("organization.id")
    problem, suggestion = "", ""
    # A host may map the key column directly.
    if "organization.id" not in source.paths or mapped is None:
        problem, suggestion = _problem_with(source.organization, source.model, organization)
    scanned = source.deadline is not None and source.deadline.field in source.own
    if not problem and scanned and (mapped is None or mapped.lookup is None):
        problem = "the expiry scan can't follow it in a query"
    return problem, suggestion


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
