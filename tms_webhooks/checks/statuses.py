"""The mapping from the host's status values to the statuses of the catalogue, in the declaration and in rows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from django.core.checks import CheckMessage
from django.core.exceptions import FieldError
from django.db import DatabaseError

from tms_webhooks.catalogue.schema import Field
from tms_webhooks.checks.messages import message_of
from tms_webhooks.exceptions import DeclarationError, PayloadError
from tms_webhooks.scaffold.render import dictionary
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.mapping import merged_fields
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.row_sets import database_of, rows_of
from tms_webhooks.sources.statuses import read_status

NEWEST = 10_000
"""Rows of each table that are looked at, by their keys."""
MOST_NAMED = 50
"""Values of one field that are named: with many, the path leads to the wrong column."""


def check(source: Source) -> Iterator[DeclarationError]:
    """Yield problems with the statuses of one source."""
    fields = {field.name: field for field in source.all_fields if field.choices is not None}
    mappings: dict[str, Mapping[Any, Any]] = merged_fields(type(source), "statuses")
    for name, field in fields.items():
        kind, members = _listed(field)
        for value, meaning in mappings.get(name, {}).items():
            if not _is_readable(source, field, value):
                text = f"statuses[{name!r}][{value!r}] is {meaning!r}, which is not a {kind}."
                yield DeclarationError("E041", text, f"Write one of {members}.")
    values = {name: source.host_choices(name) for name in fields}
    yield from _without_status("E042", source, values, text="{path!r} may be {values}")


def check_rows(*, databases: Collection[str] | None = None, **_kwargs: Any) -> Iterator[CheckMessage]:
    """Warn of rows whose status has no meaning: a column may hold any value.

    It reads the newest rows, so it runs with ``check --database`` and before ``migrate`` only.
    """
    for source in all_sources():
        if database_of(source) in (databases or ()):
            # `migrate` checks before it creates a table or column. Another check reports a wrong declaration.
            with suppress(DatabaseError, FieldError, DeclarationError):
                yield from (message_of(mistake, source) for mistake in _unreadable_rows(source))


def _unreadable_rows(source: Source) -> Iterator[DeclarationError]:
    """Report values of the newest rows that have no status, with a dictionary of all values of these fields."""
    mapped = [one for one in source.mapped.values() if one.field.choices is not None and isinstance(one.lookup, str)]
    if not mapped:
        return
    # By their keys: where few rows are objects, a limit of the objects reads the whole table.
    keys = source.model._base_manager.using(database_of(source)).order_by("-pk").values_list("pk", flat=True)
    oldest, rows = keys[NEWEST - 1 : NEWEST].first(), rows_of(source)
    newest = rows if oldest is None else rows.filter(pk__gte=oldest)
    columns = zip(
        mapped, zip(*newest.values_list(*(str(one.lookup) for one in mapped)), strict=True), strict=False
    )  # empty without rows
    stored = {one.field.name: {*found}.difference(source.host_choices(one.field.name)) for one, found in columns}
    values = {name: sorted(found, key=str) for name, found in stored.items()}
    yield from _without_status("W100", source, values, text="Rows have {values} in {path!r}")


def _without_status(
    number: str, source: Source, values: Mapping[str, Iterable[Any]], *, text: str
) -> Iterator[DeclarationError]:
    """Report all values without a status in one message, with a dictionary of all values of these fields.

    A wrong entry of `statuses` has a message of its own.
    """
    problems, dictionaries, meanings = [], [], []
    for field in source.all_fields:
        name, mapping = field.name, source.status_mappings.get(field.name) or {}
        found = [one for one in values.get(name, ()) if one not in mapping and not _is_readable(source, field, one)]
        if found:
            kind, members = _listed(field)
            shown = text.format(path=source.mapped[name].path, values=", ".join(map(repr, found[:MOST_NAMED])))
            problems.append(f"{shown}, but `statuses` has no matching {kind}.")
            dictionaries.append(f'"{name}": {dictionary({**mapping, **dict.fromkeys(found[:MOST_NAMED], "?")})}')
            meanings.append(f"{name}: {members}")
    if problems:
        yield DeclarationError(
            number,
            " ".join(problems),
            f'Write statuses = {{{", ".join(dictionaries)}}}, with a status for each "?": {"; ".join(meanings)}. '
            f"manage.py webhooks_scaffold {source.model._meta.label} guesses them.",
        )


def _is_readable(source: Source, field: Field, value: Any) -> bool:
    choices: Any = field.choices
    try:
        # Not by the source's own method: a host may have replaced it by mistake.
        read_status(value, field=field.name, statuses=choices, mapping=source.status_mappings.get(field.name))
    except PayloadError:
        return False
    return True


def _listed(field: Field) -> tuple[str, str]:
    """Return the name of the choices class, and its members as text."""
    members = field.choices or ()
    return getattr(field.choices, "__name__", ""), ", ".join(f"{member.value} {member.name}" for member in members)
