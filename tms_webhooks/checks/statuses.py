"""Checks of the mapping from the host's status values to the statuses of the catalogue."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.core.checks import CheckMessage
from django.core.exceptions import FieldError
from django.db import DatabaseError
from django.db.models import IntegerChoices

from tms_webhooks.catalogue.schema import Field
from tms_webhooks.checks import forms
from tms_webhooks.checks.fields import OWN_PACKAGE
from tms_webhooks.checks.messages import guess_for_hint, message
from tms_webhooks.computed import Constant
from tms_webhooks.event_names import did_you_mean
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.scaffold.names import meanings_of
from tms_webhooks.scaffold.render import dictionary
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.mapping import column_at, merged_fields
from tms_webhooks.sources.querysets import Rows
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.row_sets import database_of, rows_of
from tms_webhooks.sources.rules import Entered
from tms_webhooks.sources.snapshots import read_rows
from tms_webhooks.sources.statuses import read_status

NEWEST = 10_000
"""Rows of each table that are looked at, by their keys."""
NEWEST_DERIVED = 1_000
"""Rows of each table that `derived` is tried on."""
MOST_NAMED = 50
"""Values of one field that are named: with many, the path leads to the wrong column."""


def check(source: Source) -> Iterator[CheckMessage]:
    """Yield problems with the statuses of one source."""
    fields = {field.name: field for field in source.all_fields if field.choices is not None}
    mappings: dict[str, Mapping[Any, Any]] = merged_fields(type(source), "statuses")
    for name, mapping in mappings.items():
        if name in fields:
            yield from _check_mapping(source, fields[name], mapping)
        else:
            yield _no_status(source, name, list(fields))
    for field in fields.values():
        yield from _check_constant(source, field, mappings.get(field.name))
    yield from _check_host_values(source, list(fields.values()), mappings)
    yield from _check_entered(source, fields)


def check_rows(*, databases: Collection[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """Warn of rows whose status has no meaning, and of rows for which `derived` fails: a column may hold any value.

    It reads the newest rows, so it runs with ``check --database`` and before ``migrate`` only.
    """
    sources = [source for source in all_sources() if database_of(source) in (databases or ())]
    if any(True for source in sources for _problem in forms.check(source)):
        return []  # `check_sources` reports them, and their columns can't be read.
    return [problem for source in sources for problem in (*_check_rows(source), *_check_derived(source))]


def _check_mapping(source: Source, field: Field, mapping: Mapping[Any, Any]) -> Iterator[CheckMessage]:
    for value, meaning in mapping.items():
        if not _is_readable(value, field, mapping):
            yield _no_meaning(source, field, f"statuses[{field.name!r}][{value!r}]", meaning)


def _check_constant(source: Source, field: Field, mapping: Mapping[Any, Any] | None) -> Iterator[CheckMessage]:
    path = source.path_of(field.name)
    if isinstance(path, Constant) and not _is_readable(path.constant, field, mapping):
        yield _no_meaning(source, field, f"fields[{field.name!r}]", path)


def _no_meaning(source: Source, field: Field, entry: str, meaning: Any) -> CheckMessage:
    return message(
        "E041",
        f"{entry} is {meaning!r}, which is not a {_listed(field)[0]}.",
        hint=f"Write one of {_listed(field)[1]}.",
        obj=source,
    )


def _no_status(source: Source, name: str, known: list[str]) -> CheckMessage:
    remedy = (
        f"Remove it. The statuses of this noun are {', '.join(known)}." if known else "Remove it. This noun has none."
    )
    return message(
        "E040",
        f"statuses[{name!r}] is not a status of the noun {source.noun.name!r}.",
        hint=remedy + did_you_mean(difflib.get_close_matches(name, known)),
        obj=source,
    )


def _check_host_values(
    source: Source, fields: list[Field], mappings: Mapping[str, Mapping[Any, Any]]
) -> Iterator[CheckMessage]:
    """Report all choices without a status in one message, with a dictionary of all values of these fields."""
    unknown = {field: _unreadable(source.host_choices(field.name), field, mappings) for field in fields}
    yield from _without_status("E042", source, unknown, mappings, text="{path!r} may be {values}")


def _check_rows(source: Source) -> Iterator[CheckMessage]:
    """Report values of the newest rows that have no status, in the same way."""
    lookups = {
        mapped.field: mapped.lookup
        for mapped in source.mapped.values()
        if mapped.field.choices is not None and isinstance(mapped.lookup, str)
    }
    if not lookups:
        return
    try:
        rows = list(_newest_of(source, NEWEST).values_list(*lookups.values()))
    except (DatabaseError, FieldError):
        return  # `migrate` checks before it creates a table or column. Another check reports a wrong path.
    mappings: dict[str, Mapping[Any, Any]] = merged_fields(type(source), "statuses")
    unknown = {}
    for field, values in zip(lookups, zip(*rows, strict=True), strict=False):  # empty without rows
        stored = sorted(set(values).difference(source.host_choices(field.name)), key=str)
        unknown[field] = _unreadable(stored, field, mappings)[:MOST_NAMED]
    yield from _without_status("W100", source, unknown, mappings, text="Rows have {values} in {path!r}")


def _check_derived(source: Source) -> Iterator[CheckMessage]:
    """Run the host's `derived` on the newest rows, and report the first one for which it fails."""
    if type(source).derived.__module__.startswith(OWN_PACKAGE):
        return
    try:
        rows = read_rows(source, _newest_of(source, NEWEST_DERIVED))
    except (DatabaseError, FieldError, PayloadError):
        return
    for key, raw in rows:
        try:
            values = source.canonical(raw)
            errors = [str(values[name]) for name in source.supplies() if isinstance(values.get(name), PayloadError)]
        except Exception as error:
            errors = [f"{type(error).__name__} is raised."]
        if errors:
            yield message(
                "W101",
                f"derived() fails for the row {key!r} of {source.model._meta.label}: {errors[0]}",
                hint="Correct `derived`: it has to return a value for each row. An event without a value that payloads "
                "require is recorded with its error, and not sent.",
                obj=source,
            )
            return


def _newest_of(source: Source, most: int) -> Rows:
    """Return the objects among the newest rows of the table: where few rows are objects, a limit of these reads it all."""
    keys = source.model._base_manager.using(database_of(source)).order_by("-pk").values_list("pk", flat=True)
    oldest = keys[most - 1 : most].first()
    rows = rows_of(source)
    return rows if oldest is None else rows.filter(pk__gte=oldest)


def _without_status(
    number: str,
    source: Source,
    unknown: Mapping[Field, Sequence[Any]],
    mappings: Mapping[str, Mapping[Any, Any]],
    *,
    text: str,
) -> Iterator[CheckMessage]:
    problems, dictionaries, meanings = [], [], []
    for field, values in unknown.items():
        if values:
            name, members = _listed(field)
            found = text.format(path=source.mapped[field.name].path, values=", ".join(map(repr, values)))
            problems.append(f"{found}, but `statuses` has no matching {name}.")
            dictionaries.append(
                f'"{field.name}": {_dictionary(source, field, values, mappings.get(field.name) or {}) or "…"}'
            )
            meanings.append(f"{field.name}: {members}")
    if problems:
        yield message(
            number,
            " ".join(problems),
            hint=f"Write statuses = {{{', '.join(dictionaries)}}}, after you correct the guesses in it and replace each "
            f'"?". The statuses are {"; ".join(meanings)}.',
            obj=source,
        )


def _unreadable(values: Iterable[Any], field: Field, mappings: Mapping[str, Mapping[Any, Any]]) -> list[Any]:
    mapping = mappings.get(field.name)
    return [value for value in values if value not in (mapping or {}) and not _is_readable(value, field, mapping)]


@guess_for_hint
def _dictionary(source: Source, field: Field, values: Sequence[Any], written: Mapping[Any, Any]) -> str:
    """Return a dictionary of all choices and these values as Python source: as written, or guessed, or "?"."""
    column = column_at(source.model, source.mapped[field.name].path)
    choices = dict(column.flatchoices) if column is not None else {}
    choices |= {value: "" for value in values if value not in choices}
    guessed = {value: meaning or "?" for value, meaning in meanings_of(choices.items(), _choices(field)).items()}
    return dictionary({**guessed, **written})


def _check_entered(source: Source, fields: Mapping[str, Field]) -> Iterator[CheckMessage]:
    for rule in source.rules:
        if not isinstance(rule, Entered) or rule.field not in fields:
            continue
        field = fields[rule.field]
        numbers = {member.value for member in _choices(field)}
        for value, event_type in rule.events.items():
            if value not in numbers:
                yield message(
                    "E046",
                    f"A rule emits {event_type} when {field.name!r} becomes {value!r}, which is not a "
                    f"{_listed(field)[0]}.",
                    hint=f"Use the number of one of {_listed(field)[1]}.",
                    obj=source,
                )


def _is_readable(value: Any, field: Field, mapping: Mapping[Any, Any] | None) -> bool:
    try:
        read_status(value, field=field.name, statuses=_choices(field), mapping=mapping)
    except PayloadError:
        return False
    return True


def _choices(field: Field) -> type[IntegerChoices]:
    if field.choices is None:
        raise TypeError(field.name)
    return field.choices


def _listed(field: Field) -> tuple[str, str]:
    """Return the name of the choices class, and its members as text."""
    choices = _choices(field)
    return choices.__name__, ", ".join(f"{member.value} {member.name}" for member in choices)
