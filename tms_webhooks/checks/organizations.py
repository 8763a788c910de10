"""Checks of the way from an object to the organizations whose webhooks hear of it, and on to those above them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.checks import CheckMessage
from django.db import models

from tms_webhooks.checks.messages import message
from tms_webhooks.checks.paths import obstacle
from tms_webhooks.checks.settings import usable
from tms_webhooks.conf import ORGANIZATION_MODEL_SETTING
from tms_webhooks.event_names import did_you_mean
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.mapping import follow


def check(source: Source) -> Iterator[CheckMessage]:
    """Yield what is wrong with the organization and the learner's organization of one source."""
    organization = _organization_model()
    if organization is None:
        return
    problem, suggestion = _problem_with_owner(source, organization)
    if problem:
        yield message(
            "E035",
            f"organization is {source.organization!r}, and {problem}.",
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
            f"learner_organization is {source.learner_organization!r}, and {problem}.",
            hint=f"Write the path to the learner's {organization._meta.label}, or learner_organization = None.{suggestion}",
            obj=source,
        )


def check_tree(**_kwargs: Any) -> list[CheckMessage]:
    """Find the field that leads to an organization's parent, where the host names one."""
    organization, name = _organization_model(), usable("ORGANIZATION_PARENT")
    if organization is None or not name:
        return []
    parents = [field.name for field in organization._meta.get_fields() if _is_parent(field, organization)]
    if name in parents:
        return []
    return [
        message(
            "E016",
            f"ORGANIZATION_PARENT is {name!r}, and no foreign key of that name leads from {organization._meta.label} "
            "to its parent.",
            hint="Name a foreign key of the organization model to itself, or leave it out: then no webhook can include "
            f"child organizations.{did_you_mean(parents)}",
        )
    ]


def _is_parent(field: Any, organization: type[models.Model]) -> bool:
    target = field.related_model if field.many_to_one and field.concrete else None
    return target is organization and bool(field.target_field.primary_key)


def _organization_model() -> type[models.Model] | None:
    try:
        return apps.get_model(str(getattr(settings, ORGANIZATION_MODEL_SETTING, None)))
    except (LookupError, ValueError):
        return None  # settings.check_organization_model tells


def _problem_with_owner(source: Source, organization: type[models.Model]) -> tuple[str, str]:
    mapped = source.mapped.get("organization.id")
    problem, suggestion = "", ""
    # A host may name the column of the key by itself.
    if "organization.id" not in source.paths or mapped is None:
        problem, suggestion = _problem_with(source.organization, source.model, organization)
    scanned = source.deadline is not None and source.deadline.field in source.own
    if not problem and scanned and (mapped is None or mapped.lookup is None):
        problem = "no query can follow it, as the expiry scan has to"
    return problem, suggestion


def _problem_with(path: str, model: type[models.Model], organization: type[models.Model]) -> tuple[str, str]:
    """Return in words why ``path`` does not lead to an organization, and the nearest names.

    Nothing where it does, or where only a value could tell.
    """
    found = obstacle(model, f"{path}.pk")
    if found is not None:
        return str(found), found.suggestion
    target = follow(model, path)
    if target is None or target._meta.concrete_model is organization._meta.concrete_model:
        return "", ""
    return f"that is a {target._meta.label}", ""
