"""Checks of the rules: their events exist in the catalogue, and can happen."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage
from django.db import models
from django.db.models.expressions import OrderBy

from tms_webhooks import catalogue, event_names
from tms_webhooks.checks.fields import available, declared_events, reference_of, refused, written_fields
from tms_webhooks.checks.messages import message
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.paths import broken_path
from tms_webhooks.sources.registry import sources_of


def check(source: Source) -> Iterator[CheckMessage]:
    """Yield problems with the events of one source."""
    for name in dict.fromkeys(name for name, _waits in declared_events(source)):
        yield from _check_name(source, name)
    yield from _check_watched(source)
    yield from _check_impossible(source)
    yield from _check_duplicates(source)
    yield from _check_index(source)
    yield from _check_time_zone(source)


def _check_name(source: Source, name: str) -> Iterator[CheckMessage]:
    if not event_names.is_known(name):
        yield message(
            "E043",
            f"A rule names the event {name!r}, which is not in the catalogue.",
            hint="Correct the name, or register an event type with this name."
            + event_names.did_you_mean(event_names.nearest(name)),
            obj=source,
        )
        return
    noun = catalogue.get(name).noun
    if noun.name != source.noun.name:
        yield message(
            "E044",
            f"A rule names the event {name!r} of the noun {noun.name!r}, but the source has the noun {source.noun.name!r}.",
            hint=f"Use a source class for {noun.name!r}, or register an event type for {source.noun.name!r}.",
            obj=source,
        )


def _check_watched(source: Source) -> Iterator[CheckMessage]:
    """Refuse rules and deadlines on a field whose changes can't be detected."""
    fields = [field.name for field in source.all_fields]
    watched = [name for rule in source.rules for name in rule.fields]
    if source.deadline is not None:
        watched.append(source.deadline.field)
    wrong = refused(source)
    for name in dict.fromkeys(watched):
        if name in source.supplies() or name in wrong:
            continue
        if name not in fields:
            yield message(
                "E045",
                f"A rule watches {name!r}, which is not a field of the noun {source.noun.name!r}.",
                hint="Correct the name. If `derived` makes the value, list it in `supplies`."
                + event_names.did_you_mean(difflib.get_close_matches(name, fields)),
                obj=source,
            )
        elif name in source.mapped and name not in source.own and name not in source.keys_behind:
            yield message(
                "E037",
                f"A rule watches {name!r}, which is read by the path {source.mapped[name].path!r}: a change of it does "
                f"not change a row of {source.model._meta.label}, and can't be detected.",
                hint="Map it to a column of the model itself, register the model that has the column, or make the value "
                "in `derived` and list it in `supplies`.",
                obj=source,
            )


def _check_impossible(source: Source) -> Iterator[CheckMessage]:
    """Warn of events that can't happen, once for each missing field."""
    # Other messages report these.
    known = {field.name for field in source.all_fields if not field.required}
    wrong = refused(source)
    for missing, names in _impossible(source).items():
        if missing in known and not wrong & {missing, reference_of(missing)}:
            yield message(
                "W047",
                f"Never emitted, because {source.model._meta.label} has no {missing!r}: {', '.join(names)}.",
                hint=f'Map it: fields = {{"{missing}": "…"}}; or leave it out on purpose: fields = {{"{missing}": ""}}.',
                obj=source,
            )


def _impossible(source: Source) -> dict[str, list[str]]:
    """Return the fields that are missing, each with the events that can't happen without it."""
    have = available(source) | {name for name, path in written_fields(source).items() if path == ""}
    missing: dict[str, list[str]] = {}
    for name, waits in declared_events(source):
        for wait in waits:
            if wait not in have and name not in missing.setdefault(wait, []):
                missing[wait].append(name)
    return missing


def _check_duplicates(source: Source) -> Iterator[CheckMessage]:
    own = sources_of(source.model)
    # Of two sources of one model, the later one is reported.
    for other in (one for one in own if one.model is not source.model or own.index(one) < own.index(source)):
        both = [name for name in source.event_types if name in other.event_types]
        if both:
            yield message(
                "W048",
                f"{', '.join(both)} would be emitted twice: by this source and by {other!r}.",
                hint="Register the model once, or remove the events from the `rules` of one source.",
                obj=source,
            )


def _check_index(source: Source) -> Iterator[CheckMessage]:
    if source.deadline is None or source.deadline.field not in source.own:
        return
    column = str(source.own[source.deadline.field].lookup)
    field: Any = source.model._meta.get_field(column)
    if not _is_indexed(field):
        yield message(
            "W049",
            f"{field.model._meta.label}.{field.name} has no index: each expiry scan reads the whole table.",
            hint=f'Add models.Index(fields=["{field.name}"], name="…") to Meta.indexes, and a migration.',
            obj=source,
        )


def _check_time_zone(source: Source) -> Iterator[CheckMessage]:
    """Check the path to the time zone, which a deadline without a time needs."""
    model = source.model._meta.label
    if source.time_zone is not None:
        found = broken_path(source.model, source.time_zone)
        if found is not None:
            yield message(
                "E038",
                f"time_zone is {source.time_zone!r}, but {found}.",
                hint=f'Write the path from {model} to a time zone, such as time_zone = "organization.time_zone", or None.'
                + found.suggestion,
                obj=source,
            )
    elif source.time_zone_path is None and source.deadline is not None and source.is_due_by_day:
        yield message(
            "W039",
            f"{model}.{source.own[source.due_field].lookup} is a date without a time: it is over at the end of the day in "
            f"TIME_ZONE ({settings.TIME_ZONE}), wherever the organization is.",
            hint="Name the attribute of an organization with its time zone: TMS_WEBHOOKS['ORGANIZATION_FIELDS'] = "
            "{'time_zone': '…'}. Or silence this check if all organizations use TIME_ZONE.",
            obj=source,
        )


def _is_indexed(field: Any) -> bool:
    """Return True if an index of the field's table begins with the field."""
    meta = field.model._meta
    firsts = [_first(index) for index in meta.indexes]
    firsts += [constraint.fields[0] for constraint in meta.total_unique_constraints]
    firsts += [names[0] for names in meta.unique_together]
    return field.db_index or field.unique or field.name in firsts


def _first(index: models.Index) -> str:
    if index.fields:
        return index.fields[0].lstrip("-")
    expression: Any = index.expressions[0]
    while isinstance(expression, OrderBy):
        expression = expression.expression
    # Only F() has a name: an index on a function of the column can't serve a range of it.
    return str(getattr(expression, "name", ""))
