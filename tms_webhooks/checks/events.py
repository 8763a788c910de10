"""The rules and the deadline of a source: their events exist in the catalogue, and can be detected."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models.expressions import OrderBy

from tms_webhooks import catalogue, event_names
from tms_webhooks.checks.paths import refused_fields
from tms_webhooks.checks.values import declared_events
from tms_webhooks.exceptions import DeclarationError
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.registry import sources_of


def check(source: Source) -> Iterator[DeclarationError]:
    """Yield the events of one source that are wrong or can't happen."""
    for name in dict.fromkeys(name for name, _waits in declared_events(source)):
        if not event_names.is_known(name):
            yield DeclarationError(
                "E043",
                f"A rule names the event {name!r}, which is not in the catalogue.",
                "Correct the name, or register an event type with this name."
                + event_names.did_you_mean(event_names.nearest(name)),
            )
        elif (noun := catalogue.get(name).noun.name) != source.noun.name:
            yield DeclarationError(
                "E044",
                f"A rule names the event {name!r} of the noun {noun!r}, but the source has the noun {source.noun.name!r}.",
                f"Use a source class for {noun!r}, or register an event type for {source.noun.name!r}.",
            )
    yield from _undetected(source)
    own = sources_of(source.model)
    # Of two sources of one model, the later one is reported.
    for other in (one for one in own if one.model is not source.model or own.index(one) < own.index(source)):
        both = [name for name in source.event_types if name in other.event_types]
        if both:
            yield DeclarationError(
                "W048",
                f"{', '.join(both)} would be emitted twice: by this source and by {other!r}.",
                "Register the model once, or remove the events from the `rules` of one source.",
            )
    if source.owners is not None and (source.owned_by_learner or source.deadline is not None):
        reason = "belong to the learner's organization" if source.owned_by_learner else "have a deadline"
        yield DeclarationError(
            "E086",
            f"owner is {source.owner!r}, which leads to several organizations, but objects of the noun {source.noun.name!r} {reason}.",
            "Write owner = … with the path to one organization."
            + ("" if source.owned_by_learner else " Or write deadline = None."),
        )
    if source.deadline is not None and source.deadline.field in source.own:
        yield from _of_deadline(source, str(source.own[source.deadline.field].lookup))


def _undetected(source: Source) -> Iterator[DeclarationError]:
    """Refuse rules and deadlines on a field whose changes can't be detected."""
    fields, broken = [field.name for field in source.all_fields], refused_fields(source)
    watched = [
        *(name for rule in source.rules for name in rule.fields),
        *([source.deadline.field] if source.deadline else []),
    ]
    for name in dict.fromkeys(watched):
        if name in source.made or name in broken:
            continue
        if name not in fields:
            yield DeclarationError(
                "E045",
                f"A rule watches {name!r}, which is not a field of the noun {source.noun.name!r}.",
                "Correct the name, or declare a field of your own in `custom`."
                + event_names.did_you_mean(difflib.get_close_matches(name, fields)),
            )
        elif name in source.mapped and name not in source.own and name not in source.keys_behind:
            yield DeclarationError(
                "E037",
                f"A rule watches {name!r}, which is read by the path {source.mapped[name].path!r}: a change of it does not "
                f"change a row of {source.model._meta.label}, and can't be detected.",
                "Map it to a column of the model itself, register the model that has the column, or make the value by "
                "a function: Computed(function, reads={…}).",
            )


def _of_deadline(source: Source, column: str) -> Iterator[DeclarationError]:
    """Warn of a deadline whose column slows down the scans, or whose day ends in no known time zone."""
    field: Any = source.model._meta.get_field(column)
    # The fields with which an index of the table begins.
    meta = field.model._meta
    firsts = [_first(index) for index in meta.indexes]
    firsts += [constraint.fields[0] for constraint in meta.total_unique_constraints]
    firsts += [names[0] for names in meta.unique_together]
    if not (field.db_index or field.unique or field.name in firsts):
        yield DeclarationError(
            "W049",
            f"{field.model._meta.label}.{field.name} has no index: each expiry scan reads the whole table.",
            f'Add models.Index(fields=["{field.name}"], name="…") to Meta.indexes, and a migration.',
        )
    if source.time_zone_path is None and source.is_due_by_day:
        yield DeclarationError(
            "W039",
            f"{source.model._meta.label}.{column} is a date without a time: it is over at the end of the day in TIME_ZONE "
            f"({settings.TIME_ZONE}), wherever the organization is.",
            "Name the attribute of an organization with its time zone: TMS_WEBHOOKS['ORGANIZATION_FIELDS'] = "
            "{'time_zone': '…'}. Or silence this check if all organizations use TIME_ZONE.",
        )


def _first(index: models.Index) -> str:
    if index.fields:
        return index.fields[0].lstrip("-")
    expression: Any = index.expressions[0]
    while isinstance(expression, OrderBy):
        expression = expression.expression
    # Only F() has a name: an index on a function of the column can't serve a range of it.
    return str(getattr(expression, "name", ""))
