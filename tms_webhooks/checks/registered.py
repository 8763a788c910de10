"""Checks of the registered models: each change of a row is captured, and ids are unique per noun."""

from __future__ import annotations

from collections.abc import Iterator

from django.core.checks import CheckMessage
from django.db import models

from tms_webhooks.checks.messages import message
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.registry import all_sources, sources_of


def check(source: Source) -> Iterator[CheckMessage]:
    """Yield problems with the model of one source."""
    yield from _check_parents(source)
    yield from _check_namesakes(source)


def _check_parents(source: Source) -> Iterator[CheckMessage]:
    """Warn if the same rows can be changed through a parent model, whose signals Django sends instead."""
    for parent in source.model.__mro__[1:]:
        if not (issubclass(parent, models.Model) and hasattr(parent, "_meta")) or parent._meta.abstract:
            continue
        if not any(other.noun is source.noun for other in sources_of(parent)):
            label, above = source.model._meta.label, parent._meta.label
            yield message(
                "W058",
                f"A row of {label} that is changed through {above} emits no event.",
                hint=f"Register {above} as well, if each of its rows is an object; its source also captures {label}. If "
                f"only the rows of {label} are, write through_parents = True. Or silence this check, and set "
                "reconcile = True on the source to detect these changes once a day.",
                obj=source,
            )
            return


def _check_namesakes(source: Source) -> Iterator[CheckMessage]:
    """Warn if two objects of one noun may have the same id: they would share sequence numbers and one-time events."""
    others = all_sources()
    for other in others[: others.index(source)]:
        apart = not (issubclass(source.model, other.model) or issubclass(other.model, source.model))
        if other.noun is source.noun and apart and _is_counted(source) and _is_counted(other):
            yield message(
                "W059",
                f"{source.model._meta.label} and {other.model._meta.label} both have the noun {source.noun.name!r} and number "
                "their keys from 1: two objects with the same id share sequence numbers and one-time events.",
                hint='Map "id" to a column with unique values, or give one of the models its own noun.',
                obj=source,
            )


def _is_counted(source: Source) -> bool:
    """Return True if the ids of a source are automatic numbers of the database."""
    key = source.model._meta.pk
    mapped = source.own.get("id")
    return isinstance(key, models.AutoField) and mapped is not None and mapped.lookup == key.attname
