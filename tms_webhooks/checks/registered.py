"""Checks of which models are registered: is all heard of that happens to their rows, and are these told apart?"""

from __future__ import annotations

from collections.abc import Iterator

from django.core.checks import CheckMessage
from django.db import models

from tms_webhooks.checks.messages import message
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.registry import all_sources, sources_of


def check(source: Source) -> Iterator[CheckMessage]:
    """Yield what is wrong with the model of one source."""
    yield from _check_parents(source)
    yield from _check_namesakes(source)


def _check_parents(source: Source) -> Iterator[CheckMessage]:
    """Warn where the same rows can be changed as those of another model, which Django announces by that one's name."""
    for parent in source.model.__mro__[1:]:
        if not (issubclass(parent, models.Model) and hasattr(parent, "_meta")) or parent._meta.abstract:
            continue
        if not any(other.noun is source.noun for other in sources_of(parent)):
            label, above = source.model._meta.label, parent._meta.label
            yield message(
                "W058",
                f"A row of {label} that is changed as one of {above} is told by nobody.",
                hint=f"Register {above}, which hears of {label}, too. Or silence this, and let reconcile = True find such "
                "changes within a day.",
                obj=source,
            )
            return


def _check_namesakes(source: Source) -> Iterator[CheckMessage]:
    """Warn where two objects of one noun may have one id: they share what is counted and told once by it."""
    others = all_sources()
    for other in others[: others.index(source)]:
        apart = not (issubclass(source.model, other.model) or issubclass(other.model, source.model))
        if other.noun is source.noun and apart and _is_counted(source) and _is_counted(other):
            yield message(
                "W059",
                f"{source.model._meta.label} and {other.model._meta.label} tell of the noun {source.noun.name!r}, and each "
                "counts its keys from 1: receivers, the numbers of events and what is told once take two of one id for one.",
                hint='Map "id" to a column that tells them apart, or give one of them a noun of its own.',
                obj=source,
            )


def _is_counted(source: Source) -> bool:
    """Say whether the ids of a source are numbers that the database counts."""
    key = source.model._meta.pk
    mapped = source.own.get("id")
    return isinstance(key, models.AutoField) and mapped is not None and mapped.lookup == key.attname
