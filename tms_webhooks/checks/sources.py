"""The check of the sources that a host declares in ``webhooks.py``: it collects the mistakes in each.

This module checks the form of a source's attributes, its models and its statuses. Others check paths and values.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from types import FunctionType
from typing import Any

from django.core.checks import CheckMessage
from django.core.exceptions import FieldError
from django.db import DatabaseError, models

from tms_webhooks.catalogue import custom
from tms_webhooks.catalogue.schema import Field, Noun
from tms_webhooks.checks import paths, values
from tms_webhooks.checks.messages import message, message_of, shorten
from tms_webhooks.computed import Expression, First
from tms_webhooks.event_names import did_you_mean
from tms_webhooks.exceptions import DeclarationError, PayloadError
from tms_webhooks.scaffold.render import dictionary
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.deadlines import ClosedWhen, Deadline
from tms_webhooks.sources.mapping import OWN_PACKAGE, Custom, merged_fields, read_status
from tms_webhooks.sources.registry import all_sources
from tms_webhooks.sources.rows import database_of, rows_of
from tms_webhooks.sources.rules import Rule, event_types_of
from tms_webhooks.sources.tms import ActivityProgressSource

NEWEST = 10_000
"""Rows of each table that are looked at, by their keys."""
MOST_NAMED = 50
"""Values of one field that are named: with many, the path leads to the wrong column."""


def _wrong_statuses(source: Source) -> Iterator[DeclarationError]:
    """Yield the problems with the statuses of one source."""
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
    choices: Any = field.choices
    return choices.__name__, ", ".join(f"{member.value} {member.name}" for member in choices)


TYPES: tuple[tuple[str, Any, str], ...] = (
    ("noun", Noun, "a Noun"),
    ("rules", list | tuple, "a tuple of rules"),
    ("only", Mapping, "a dictionary with text as keys"),
    ("time_zone", str | None, "a path"),
    ("deadline", Deadline | None, "a Deadline"),
    ("closed_when", ClosedWhen, "a ClosedWhen"),
    ("reconcile", bool, "True or False"),
)
"""The types of attributes of a source, and their names."""
OVERRIDDEN = ("events_for", "is_open", "is_reopened", "paths_with", "owner", "learner")
"""What a host may write as a method."""
HELPERS = (FunctionType, staticmethod, classmethod, property, cached_property)
NEAR = 0.85
"""The least `difflib` ratio of a misspelled name. `status` has 0.857 of `statuses`."""


def check_sources(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Report the mistakes in all sources.

    A source reads other ones, so that while one has a wrong form, an error of any of them may be a consequence of that.
    """
    sources = all_sources()
    if not sources:
        yield message(
            "I053",
            "No model is registered as a source: only `emit` creates events.",
            hint="Register your models in the module `webhooks.py` of an app in INSTALLED_APPS.",
        )
    malformed = {source: list(_wrong_forms(source)) for source in sources}
    for source, mistakes in malformed.items():
        try:
            for mistake in mistakes or _mistakes(source):
                yield message_of(mistake, source)
        except Exception:
            if not any(malformed.values()):
                raise


def _mistakes(source: Source) -> Iterator[DeclarationError]:
    yield from _of_models(source)
    yield from _misspelled(source)
    yield from _ambiguous(source)
    wrong = list(paths.check(source))
    refused = {name for name, _mistake in wrong}
    yield from (mistake for _name, mistake in wrong)
    yield from values.check(source, refused)
    yield from _wrong_statuses(source)
    yield from values.check_events(source, refused)


def _wrong_forms(source: Any) -> Iterator[DeclarationError]:
    """Yield the attributes of a source that have a wrong form. Assume nothing about it: a host wrote it."""
    owners = source.owner if isinstance(source.owner, list | tuple) else [source.owner]
    wrong = {name: expected for name, kind, expected in TYPES if not isinstance(getattr(source, name), kind)}
    if not (owners and all(map(_is_path, owners))) and (source.owner or not source.shared_fields):
        wrong["owner"] = "a path"
    if source.learner is not None and not _is_path(source.learner):
        wrong["learner"] = "a path"
    if "rules" not in wrong and not all(isinstance(rule, Rule) for rule in source.rules):
        wrong["rules"] = "a tuple of rules"
    yield from (_wrong_form(name, getattr(source, name), expected) for name, expected in wrong.items())
    for attribute, kind, expected in (
        ("fields", str | Expression | None, "a path"),
        ("statuses", Mapping, "a dictionary"),
        ("custom", str | Custom | None, "a path or a Custom"),
    ):
        try:
            entries = merged_fields(type(source), attribute)
        except DeclarationError as error:
            yield error
            continue
        for name, value in entries.items():
            if not isinstance(value, kind) or value == "":
                yield _wrong_form(f"{attribute}[{name!r}]", value, expected)


def _wrong_form(label: str, value: object, expected: str) -> DeclarationError:
    return DeclarationError("E030", f"{label} is {shorten(value)}, not {expected}.", f"Write {expected}.")


def _is_path(value: Any) -> bool:
    return bool(value) and (isinstance(value, str | First) or (callable(value) and not isinstance(value, type)))


def _ambiguous(source: Source) -> Iterator[DeclarationError]:
    """Refuse a field in `custom` with another kind or privacy in a second source: personal data could be sent as basic."""
    known = custom.of_noun(source.noun.name)
    for declared in source.declared.fields:
        name, field = declared.name, declared.field
        first = known.get(field.name, declared).field
        if (first.kind, first.privacy) != (field.kind, field.privacy):
            yield DeclarationError(
                "E083",
                f"custom[{name!r}] is {field.kind}, {field.privacy} here, but {first.kind}, {first.privacy} in another "
                f"source of {source.noun.name!r}.",
                "Give both the same kind and privacy, or rename one of them.",
            )


def _misspelled(source: Source) -> Iterator[DeclarationError]:
    """Yield attributes of a host's class whose names resemble those of a source, and that no base class has.

    Python accepts a misspelled name, which has no effect. A helper of the host's is compared only with what may be a
    method. A value that replaces a method of the app's, such as `Source.status`, is misspelled, too.
    """
    own = [base for base in type(source).__mro__ if base.__module__.startswith(OWN_PACKAGE)]
    declared = {name: None for base in own for name in inspect.get_annotations(base) if not name.startswith("_")}
    for base in type(source).__mro__:
        for name, value in vars(base).items() if base not in own else ():
            is_helper = isinstance(value, HELPERS)
            inherited = [one for one in base.__mro__[1:] if name in vars(one) and (is_helper or one not in own)]
            if name.startswith("_") or name in (*declared, *OVERRIDDEN) or inherited:
                continue
            names = OVERRIDDEN if is_helper else [*declared, *OVERRIDDEN]
            swapped = [one for one in names if sorted(one) == sorted(name)]
            if similar := swapped or difflib.get_close_matches(name, names, n=1, cutoff=NEAR):
                yield DeclarationError(
                    "W089",
                    f"{base.__name__} has the attribute {name!r}, which sources do not read.",
                    "Correct the name. If it is a helper of your own, give it another name." + did_you_mean(similar),
                )


def _of_models(source: Source) -> Iterator[DeclarationError]:
    """Yield problems with the model of a source: its rows, its keys, and the models that it leads to."""
    model, label = source.model, source.model._meta.label
    for other in all_sources():
        if other is source:
            break
        is_family = issubclass(model, other.model) or issubclass(other.model, model)
        is_same = model._meta.concrete_model is other.model._meta.concrete_model
        if is_family and not is_same and not set(source.event_types).isdisjoint(event_types_of(other.rules)):
            yield DeclarationError(
                "E104",
                f"{label} and {other.model._meta.label} share rows, and both have sources of the noun {source.noun.name!r}: "
                "each change of such a row would be two events.",
                "Register one of them. A source of the parent captures all rows, and reads columns of the child by paths "
                'such as "child.column"; a source of the child captures its own rows.',
            )
        elif other.noun is source.noun and not is_family and _is_counted(source) and _is_counted(other):
            yield DeclarationError(
                "W059",
                f"{label} and {other.model._meta.label} both have the noun {source.noun.name!r} and number their keys from 1: "
                "two objects with the same id share sequence numbers and one-time events.",
                'Map "id" to a column with unique values, or give one of the models its own noun.',
            )
    if isinstance(source, ActivityProgressSource) and source.assignment_source is None:
        yield DeclarationError(
            "E057",
            f"assignment is {source.assignment!r}, which leads to no model with a CourseAssignmentSource.",
            "Write the path of foreign keys to your course assignments, and register their model with a "
            "CourseAssignmentSource.",
        )


def _is_counted(source: Source) -> bool:
    """Return True if the ids of a source are automatic numbers of the database."""
    key, mapped = source.model._meta.pk, source.own.get("id")
    return isinstance(key, models.AutoField) and mapped is not None and mapped.lookup == key.attname
