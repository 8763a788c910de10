"""Find the part of a host's attribute path that can't be followed."""

from __future__ import annotations

from django.db import models

from tms_webhooks.computed import AND
from tms_webhooks.sources.aggregates import list_at
from tms_webhooks.sources.paths import BrokenPath, broken_path


def broken_input(model: type[models.Model], path: str) -> BrokenPath | None:
    """Return what `broken_path` does for a path that may lead through a list, and end with several of its columns."""
    found = list_at(model, path)
    if found is None:
        return broken_path(model, path)
    _base, relation, rest = found
    return next(filter(None, (broken_path(relation.listed, column) for column in (rest or "pk").split(AND))), None)
