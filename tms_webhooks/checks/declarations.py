"""Checks of owners, selected rows and computed values: each is made of values that a query can read."""

from __future__ import annotations

from collections.abc import Iterator

from django.core.checks import CheckMessage

from tms_webhooks.checks.fields import refuse_path
from tms_webhooks.checks.messages import message
from tms_webhooks.checks.paths import broken_input
from tms_webhooks.computed import Computed, Not, Row
from tms_webhooks.scaffold.render import dictionary
from tms_webhooks.sources.aggregates import list_at
from tms_webhooks.sources.base import OWNER, Source
from tms_webhooks.sources.mapping import map_input, may_be_null, merged_fields
from tms_webhooks.sources.only import without_null
from tms_webhooks.sources.paths import PathProblem, broken_path


def check(source: Source) -> Iterator[CheckMessage]:
    """Yield problems with the computed values of one source."""
    yield from _check_computed(source)
    yield from _check_read(source)
    yield from _check_names(source)
    yield from _check_owners(source)
    yield from _check_nulls(source)


def _check_computed(source: Source) -> Iterator[CheckMessage]:
    """Refuse paths in `First`, `Not` and `Row` that do not exist."""
    entries = {f"fields[{name!r}]": path for name, path in merged_fields(type(source)).items()}
    for name in ("organization", "learner_organization"):
        entries[name] = getattr(source, name)
    for entry, declared in entries.items():
        if isinstance(declared, Row):
            yield from _check_row(source, entry, declared)
            continue
        for path in declared.paths if isinstance(declared, Computed) else ():
            found = broken_path(source.model, path if entry.startswith("fields") else f"{path}.pk")
            if found is not None and not (found.problem is PathProblem.MANY and map_input(source.model, path)):
                yield refuse_path(source, entry, path, found, remove="write another path")


def _check_row(source: Source, entry: str, row: Row) -> Iterator[CheckMessage]:
    found = list_at(source.model, row.path)
    if found is None:
        yield message(
            "E067",
            f"{entry} is {row}, but {row.path!r} leads through no list of {source.model._meta.label}.",
            hint=f'Write the name of a list and a column of its rows: Row("translations.title", {row.column}=…).',
            obj=source,
        )
        return
    _base, relation, rest = found
    for column in (rest or "pk", row.column):
        broken = broken_path(relation.listed, column)
        if broken is not None:
            remedy = "write another column"
            yield refuse_path(source, entry, str(row), broken, remove=remedy, beginning=relation.listed)


def _check_read(source: Source) -> Iterator[CheckMessage]:
    """Refuse paths in `reads` and `only` that no query can read: their values before a change are not known."""
    for entry, paths in (("reads", source.reads.items()), ("only", ((path, path) for path in source.only))):
        for name, path in paths:
            if map_input(source.model, path, one_to_one=entry == "only") is None:
                found = broken_input(source.model, path)
                yield message(
                    "E085",
                    f"{entry}[{name!r}] "
                    + (f"is {path!r}, but {found}." if found else f"is {path!r}, which is no column."),
                    hint=f"Name a path of foreign keys and lists from {source.model._meta.label} to a column: the value "
                    f"has to be known before a change, too.{found.suggestion if found else ''}",
                    obj=source,
                )


def _check_names(source: Source) -> Iterator[CheckMessage]:
    """Refuse names in `reads` that hide a field of the noun from `derived`."""
    for name in source.reads:
        if name in {field.name for field in source.all_fields}:
            yield message(
                "E087",
                f"reads[{name!r}] has the name of a field of the noun {source.noun.name!r}.",
                hint=f"Give it another name, such as {f'host_{name}'!r}.",
                obj=source,
            )


def _check_nulls(source: Source) -> Iterator[CheckMessage]:
    """Refuse fields that payloads require and that may be null: such an event could not be sent."""
    required = [name for name, mapped in source.mapped.items() if mapped.field.required and name != OWNER]
    for name in required:
        mapped = source.mapped[name]
        by_host = name in source.supplies() or not isinstance(mapped.lookup, str)
        if by_host or source.selection.excludes_null(mapped.path) or not may_be_null(source.model, mapped.path):
            continue
        column = mapped.path.partition(".")[0]
        condition = without_null(source.only[column]) if column in source.only else Not(None)
        yield message(
            "E088",
            f"{name!r} is required in payloads, but {source.model._meta.label}.{mapped.path} may be null.",
            hint=f"Leave these rows out: only = {dictionary({**source.only, column: condition})}. Or make the column "
            f"NOT NULL, or map {name!r} to First of several paths.",
            obj=source,
        )


def _check_owners(source: Source) -> Iterator[CheckMessage]:
    """Refuse several owners for nouns whose rules are about one organization."""
    if source.organizations is None:
        return
    if source.owned_by_learner or source.deadline is not None:
        reason = "belong to the learner's organization" if source.owned_by_learner else "have a deadline"
        yield message(
            "E086",
            f"organizations is {source.organizations!r}, but objects of the noun {source.noun.name!r} {reason}.",
            hint="Write organization = … with the path to one organization."
            + ("" if source.owned_by_learner else " Or write deadline = None."),
            obj=source,
        )
