"""The mapping from the host's status values to the statuses of the catalogue, in the declaration and in rows."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.core.checks import CheckMessage
from django.core.exceptions import FieldError
from django.db import DatabaseError

from tms_webhooks.catalogue.schema import Field
from tms_webhooks.checks.forms import wrong_forms
from tms_webhooks.checks.messages import guess, message_of
from tms_webhooks.computed import Constant
from tms_webhooks.event_names import did_you_mean
from tms_webhooks.exceptions import DeclarationError, PayloadError
from tms_webhooks.scaffold.names import meanings_of
from tms_webhooks.scaffold.render import dictionary
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.mapping import OWN_PACKAGE, merged_fields
from tms_webhooks.sources.paths import column_at
from tms_webhooks.sources.querysets import Rows
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.row_sets import database_of, rows_of
from tms_webhooks.sources.rules import Entered
from tms_webhooks.sources.snapshots import read_rows
from tms_webhooks.sources.statuses import read_status

NEWEST = 10_000
"""Rows of each table that are looked at, by their keys."""
NEWEST_DERIVED = 1_000
"""Rows of each table that functions are tried on."""
MOST_NAMED = 50
"""Values of one field that are named: with many, the path leads to the wrong column."""


def check(source: Source) -> Iterator[DeclarationError]:
    """Yield problems with the statuses of one source."""
    fields = {field.name: field for field in source.all_fields if field.choices is not None}
    mappings: dict[str, Mapping[Any, Any]] = merged_fields(type(source), "statuses")
    for name in mappings.keys() - fields.keys():
        known = f"The statuses of this noun are {', '.join(fields)}." if fields else "This noun has none."
        yield DeclarationError(
            "E040",
            f"statuses[{name!r}] is not a status of the noun {source.noun.name!r}.",
            f"Remove it. {known}{did_you_mean(difflib.get_close_matches(name, fields))}",
        )
    for name, field in fields.items():
        entries = [
            (f"statuses[{name!r}][{value!r}]", value, meaning) for value, meaning in mappings.get(name, {}).items()
        ]
        path = source.path_of(name)
        if isinstance(path, Constant):
            entries.append((f"fields[{name!r}]", path.constant, path))
        for entry, value, meaning in entries:
            if not _is_readable(source, field, value):
                kind, members = _listed(field)
                yield DeclarationError(
                    "E041", f"{entry} is {meaning!r}, which is not a {kind}.", f"Write one of {members}."
                )
    unknown = {name: _unreadable(source, field, source.host_choices(name)) for name, field in fields.items()}
    yield from _without_status("E042", source, unknown, text="{path!r} may be {values}")
    for rule in source.rules:
        if isinstance(rule, Entered) and rule.field in fields:
            kind, members = _listed(fields[rule.field])
            numbers = {member.value for member in fields[rule.field].choices or ()}
            for value in rule.events.keys() - numbers:
                yield DeclarationError(
                    "E046",
                    f"A rule emits {rule.events[value]} when {rule.field!r} becomes {value!r}, which is not a {kind}.",
                    f"Use the number of one of {members}.",
                )


def check_rows(*, databases: Collection[str] | None = None, **_kwargs: Any) -> list[CheckMessage]:
    """Warn of rows whose status has no meaning, and of rows for which a function of the host's fails: a column may hold any value.

    It reads the newest rows, so it runs with ``check --database`` and before ``migrate`` only.
    """
    sources = [source for source in all_sources() if database_of(source) in (databases or ())]
    if any(wrong_forms(source) for source in sources):
        return []  # `check_sources` reports them, and their columns can't be read.
    return [
        message_of(problem, source)
        for source in sources
        for problem in (*_unreadable_rows(source), *_failing_rows(source))
    ]


def _unreadable_rows(source: Source) -> Iterator[DeclarationError]:
    """Report values of the newest rows that have no status, with a dictionary of all values of these fields."""
    lookups = {
        mapped.field: mapped.lookup
        for mapped in source.mapped.values()
        if mapped.field.choices is not None and isinstance(mapped.lookup, str)
    }
    try:
        rows = list(_newest_of(source, NEWEST).values_list(*lookups.values())) if lookups else []
    except (DatabaseError, FieldError):
        return  # `migrate` checks before it creates a table or column. Another check reports a wrong path.
    unknown = {}
    for field, values in zip(lookups, zip(*rows, strict=True), strict=False):  # empty without rows
        stored = sorted(set(values).difference(source.host_choices(field.name)), key=str)
        unknown[field.name] = _unreadable(source, field, stored)[:MOST_NAMED]
    yield from _without_status("W100", source, unknown, text="Rows have {values} in {path!r}")


def _failing_rows(source: Source) -> Iterator[DeclarationError]:
    """Run the host's functions on the newest rows, and report the first one for which one fails."""
    if all(
        str(getattr(one.function, "__module__", "")).startswith(OWN_PACKAGE) for one, _read in source.functions.values()
    ):
        return
    try:
        rows = read_rows(source, _newest_of(source, NEWEST_DERIVED))
    except (DatabaseError, FieldError, PayloadError):
        return
    for key, raw in rows:
        try:
            values = source.canonical(raw)
            errors = [str(values[name]) for name in source.functions if isinstance(values.get(name), PayloadError)]
        except Exception as error:
            errors = [f"{type(error).__name__} is raised."]
        if errors:
            yield DeclarationError(
                "W101",
                f"A function in `fields` fails for the row {key!r} of {source.model._meta.label}: {errors[0]}",
                "Correct the function: it has to return a value for each row. An event without a value that payloads require "
                "is recorded with its error, and not sent.",
            )
            return


def _newest_of(source: Source, most: int) -> Rows:
    """Return the objects among the newest rows of the table: where few rows are objects, a limit of these reads it all."""
    keys = source.model._base_manager.using(database_of(source)).order_by("-pk").values_list("pk", flat=True)
    oldest = keys[most - 1 : most].first()
    rows = rows_of(source)
    return rows if oldest is None else rows.filter(pk__gte=oldest)


def _without_status(
    number: str, source: Source, unknown: Mapping[str, Sequence[Any]], *, text: str
) -> Iterator[DeclarationError]:
    """Report all values without a status in one message, with a dictionary of all values of these fields."""
    fields = [field for field in source.all_fields if unknown.get(field.name)]
    problems, dictionaries, meanings = [], [], []
    for field in fields:
        name, values = field.name, unknown[field.name]
        kind, members = _listed(field)
        found = text.format(path=source.mapped[name].path, values=", ".join(map(repr, values)))
        problems.append(f"{found}, but `statuses` has no matching {kind}.")
        dictionaries.append(f'"{name}": {guess(_dictionary, source, field, values) or "…"}')
        meanings.append(f"{name}: {members}")
    if problems:
        yield DeclarationError(
            number,
            " ".join(problems),
            f"Write statuses = {{{', '.join(dictionaries)}}}, after you correct the guesses in it and replace each "
            f'"?". The statuses are {"; ".join(meanings)}.',
        )


def _dictionary(source: Source, field: Field, values: Sequence[Any]) -> str:
    """Return a dictionary of all choices and these values as Python source: as written, or guessed, or "?"."""
    column = column_at(source.model, source.mapped[field.name].path)
    choices = dict(column.flatchoices) if column is not None else {}
    choices |= {value: "" for value in values if value not in choices}
    meanings = meanings_of(choices.items(), field.choices) if field.choices is not None else {}
    guessed = {value: meaning or "?" for value, meaning in meanings.items()}
    return dictionary({**guessed, **(source.status_mapping(field.name) or {})})


def _unreadable(source: Source, field: Field, values: Iterable[Any]) -> list[Any]:
    """Return the values that have no status; a wrong one in `statuses` has a message of its own."""
    mapping = source.status_mapping(field.name) or {}
    return [value for value in values if value not in mapping and not _is_readable(source, field, value)]


def _is_readable(source: Source, field: Field, value: Any) -> bool:
    choices: Any = field.choices
    try:
        read_status(value, field=field.name, statuses=choices, mapping=source.status_mapping(field.name))
    except PayloadError:
        return False
    return True


def _listed(field: Field) -> tuple[str, str]:
    """Return the name of the choices class, and its members as text."""
    members = field.choices or ()
    return getattr(field.choices, "__name__", ""), ", ".join(f"{member.value} {member.name}" for member in members)
