"""Write guessed declarations as the text of a ``webhooks.py``, formatted as ``ruff format`` leaves it."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

from django.db import models
from django.db.models import IntegerChoices

from tms_webhooks.catalogue.schema import status_name
from tms_webhooks.computed import Computed, Constant, Row
from tms_webhooks.scaffold.declaration import Declaration, Guesses, date_candidates, unmapped, unused_columns
from tms_webhooks.scaffold.statuses import StatusGuess
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.mapping import column_at

WIDTH = 88
"""The line length of `ruff format` and of Black by default; comments are broken there."""
INDENT = "    "

_SELECTED = "Guessed: the other rows are deleted, or lack a value that payloads require."

HEADING = (
    "Sources of webhook events: which models emit events, and where their fields are.\n\n"
    "manage.py webhooks_scaffold guessed this file from the models. Read each comment, and correct what is wrong.\n"
)


def render(
    guesses: Guesses, problems: Mapping[int, Sequence[str]], organization_fields: Mapping[str, str] | None = None
) -> str:
    """Return the text of the module.

    ``problems`` are sentences about declarations, by their positions. ``organization_fields`` is the value that the
    setting of this name should get; None if it stays as it is.
    """
    settings = _settings(organization_fields) if organization_fields is not None else []
    bodies = list(_classes(guesses, problems))
    rejected = _rejection([model._meta.label for model in guesses.rejected]) if guesses.rejected else []
    lines = [f'"""{HEADING}"""', "", *settings, *_imports(guesses.declarations)]
    for body in bodies:
        lines += ["", "", *body]
    if rejected:
        lines += ["", "", *rejected] if bodies else ["", *rejected]
    return "\n".join(lines).replace("\n\n\n\n", "\n\n\n").rstrip("\n") + "\n"


def class_names(declarations: Iterable[Declaration]) -> list[str]:
    """Return a name for each class: the plural of its model's name, or another one if two are the same."""
    names: list[str] = []
    models_taken = {one.model.__name__ for one in declarations}
    for one in declarations:
        # A computed path is registered for the model of the assignments.
        name = plural(str(one.attributes.get("path_model", one.model.__name__)).rpartition(".")[2])
        if name in models_taken or name in names:
            name = f"{one.model.__name__}{one.source_class.__name__}"
        names.append(name)
    return names


def plural(name: str) -> str:
    """Return the plural of a noun: "Classes", "Bookings", "Companies"."""
    if name.endswith("Person"):
        return f"{name.removesuffix('Person')}People"
    if name.endswith(("s", "x", "ch", "sh")):
        return f"{name}es"
    if name.endswith("y") and name[-2:-1] not in "aeiou":
        return f"{name[:-1]}ies"
    return f"{name}s"


def literal(value: Any) -> str:
    """Return a value as Python source with double quotes, unless it contains them."""
    if callable(value):
        return str(value.__name__)
    if isinstance(value, Row):
        return f"sources.{value}"
    if isinstance(value, Computed):
        inner = ", ".join(map(literal, value.paths or [getattr(value, "constant", None)]))
        return f"sources.{type(value).__name__}({inner})"
    text = repr(value)
    if isinstance(value, str) and text.startswith("'") and '"' not in text:
        return f'"{text[1:-1]}"'
    return text


def dictionary(values: Mapping[str, Any]) -> str:
    """Return a dictionary as Python source on one line, like ``{"user": sources.Not(None)}``."""
    return f"{{{', '.join(f'{literal(key)}: {literal(value)}' for key, value in values.items())}}}"


def _settings(organization_fields: Mapping[str, str]) -> list[str]:
    entries = (f"#     {literal(name)}: {literal(path)}," for name, path in organization_fields.items())
    text = "Add to your settings, so that all sources know the columns of an organization:"
    return [*_comment(text), '# TMS_WEBHOOKS["ORGANIZATION_FIELDS"] = {', *entries, "# }", ""]


def _imports(declarations: Iterable[Declaration]) -> list[str]:
    """Return the import statements: of packages that are not the host's, an empty line, and those of the host."""
    names: dict[str, set[str]] = {}
    for one in declarations:
        names.setdefault(_module_of(one.model), set()).add(one.model.__name__)
    outside = {"tms_webhooks": {"sources"}} | {
        name: names.pop(name) for name in list(names) if name.startswith("django.")
    }
    both = [[line for item in sorted(group.items()) for line in _import(*item)] for group in (outside, names)]
    return [*both[0], "", *both[1]] if both[1] else both[0]


def _import(module: str, names: set[str]) -> list[str]:
    line = f"from {module} import {', '.join(sorted(names))}"
    if len(line) <= WIDTH:
        return [line]
    return [f"from {module} import (", *(f"{INDENT}{name}," for name in sorted(names)), ")"]


def _module_of(model: type[models.Model]) -> str:
    """Return the module to import a model from: the app's ``models`` if it has the model, else the model's own."""
    module = model.__module__
    config = model._meta.app_config
    package = str(getattr(getattr(config, "models_module", None), "__name__", module))
    return package if getattr(import_module(package), model.__name__, None) is model else module


def _classes(guesses: Guesses, problems: Mapping[int, Sequence[str]]) -> Iterator[list[str]]:
    names = class_names(guesses.declarations)
    for position, (name, one) in enumerate(zip(names, guesses.declarations, strict=True)):
        source = guesses.source(one)
        lines = [
            *_comment(_introduction(one)),
            f"@sources.register({one.model.__name__})",
            f"class {name}(sources.{one.source_class.__name__}):",
        ]
        body = [*_attributes(one), *_fields(one, source), *_statuses(one, source)]
        remarks = [*_same_status(one), *_remarks(source), *problems.get(position, ())]
        body += [line for remark in remarks for line in _comment(remark, indent=INDENT)]
        # A class whose body is comments only does not compile.
        yield [*lines, *(body if any(not line.lstrip().startswith("#") for line in body) else [*body, f"{INDENT}pass"])]


def _introduction(one: Declaration) -> str:
    label = one.model._meta.label
    kind = one.kind.replace("_", " ")
    others = " or ".join(f"{label}:{kind}" for kind in one.others)
    text = f"{kind.capitalize()}: guessed from {one.reason}." if one.reason else f"{kind.capitalize()}."
    return f"{text} Otherwise run webhooks_scaffold {others}." if others else text


def _attributes(one: Declaration) -> Iterator[str]:
    for name, value in one.attributes.items():
        if isinstance(value, Mapping):
            yield from _comment(_SELECTED, indent=INDENT)
            yield f"{INDENT}{name} = {{"
            yield from (f"{INDENT * 2}{literal(key)}: {literal(entry)}," for key, entry in value.items())
            yield f"{INDENT}}}"
        else:
            yield f"{INDENT}{name} = {literal(value)}"
        if name in ("organization", "organizations"):
            yield from (line for remark in _owner_remarks(one) for line in _comment(remark, indent=INDENT))


def _owner_remarks(one: Declaration) -> Iterator[str]:
    if one.other_owners:
        yield f"Or {' or '.join(map(literal, one.other_owners))}."
    if one.behind_a_person:
        kind = one.kind.replace("_", " ")
        yield f"Guessed: no other path was found. Does the {kind} belong to this person's organization?"


def _fields(one: Declaration, source: Source) -> Iterator[str]:
    candidates = date_candidates(source)
    if not (one.fields or candidates):
        return
    yield f"{INDENT}fields = {{"
    for name, path in one.fields.items():
        remark = f"  # guessed: {one.uncertain[name]}" if name in one.uncertain else ""
        yield f"{INDENT * 2}{literal(name)}: {literal(path)},{remark}"
    for name, columns in candidates.items():
        yield from _date(name, columns)
    yield f"{INDENT}}}"


def _date(name: str, columns: Sequence[str]) -> Iterator[str]:
    """Yield an entry as a comment: a column that may be a date, with the other candidates."""
    others = " or ".join(map(literal, columns[1:3]))
    remark = f"# or {others}; check it" if others else "# the only other date; check it"
    entry = f"{INDENT * 2}# {literal(name)}: {literal(columns[0])},"
    line = f"{entry}  {remark}"
    yield from [line] if len(line) <= WIDTH else [entry, f"{INDENT * 2}{remark}"]


def _statuses(one: Declaration, source: Source) -> Iterator[str]:
    entries = [line for name, guesses in one.statuses.items() for line in _status(one, source, name, guesses)]
    if entries:
        yield f"{INDENT}statuses = {{"
        yield from entries
        yield f"{INDENT}}}"
    for name, column in one.unlisted.items():
        if name not in one.statuses:
            yield from _comment(_unlisted(source, name, column), indent=INDENT)


def _status(one: Declaration, source: Source, name: str, guesses: Sequence[StatusGuess]) -> Iterator[str]:
    yield f"{INDENT * 2}{literal(name)}: {{"
    for guess in guesses:
        if guess.meaning:
            remark = "" if guess.certain else "  # guessed"
            yield f"{INDENT * 3}{literal(guess.value)}: {literal(guess.meaning)},{remark}"
        else:
            yield f"{INDENT * 3}# {literal(guess.value)}: ?"
    if any(not guess.meaning for guess in guesses):
        yield from _comment(f"? is one of {_meanings(source, name)}.", indent=INDENT * 3)
    if name in one.unlisted:
        yield from _comment(_unlisted(source, name, one.unlisted[name]), indent=INDENT * 3)
    yield f"{INDENT * 2}}},"


def _unlisted(source: Source, name: str, column: str) -> str:
    field = column_at(source.model, column)
    target = field.related_model if field is not None else None
    if isinstance(target, type):
        values, where = f"{column!r} is a foreign key: write the key of each row of {target._meta.label} into", ""
    else:
        values = f"{column!r} has no choices: write each value that it may have into"
        where = " To see those of your rows, run manage.py check --database default."
    return f"{values} statuses[{name!r}], with one of {_meanings(source, name)}.{where}"


def _meanings(source: Source, name: str) -> str:
    choices: type[IntegerChoices] | None = source.mapped[name].field.choices
    return ", ".join(status_name(member) for member in choices or ())


def _same_status(one: Declaration) -> Iterator[str]:
    """Yield a remark about a status that no column holds, with the columns from which it may follow."""
    switches = [column.name for column in one.model._meta.concrete_fields if isinstance(column, models.BooleanField)]
    for name, path in one.fields.items():
        if isinstance(path, Constant) and switches:
            columns = ", ".join(switches)
            yield f"If {name} follows from other columns, such as {columns}, compute it: see `derived` in the reference."


def _remarks(source: Source) -> Iterator[str]:
    candidates = date_candidates(source)
    null = [name for name in unmapped(source) if name not in candidates]
    if null and source.snapshot:
        yield f"Null, because no column fits: {', '.join(null)}."
    unused = [name for name in unused_columns(source) if not any(name in columns for columns in candidates.values())]
    role = next((name for name in unused if name in ("role", "kind", "type", "category")), "")
    if role and not source.only:
        yield f"If only some rows are of this kind, name the values of their {role}: only = {{{literal(role)}: …}}."
    # Where a row is no object of the noun, its other columns belong to another source.
    if unused and source.snapshot:
        yield f"In no payload: {', '.join(unused)}. Add those that receivers need to custom = {{…}}."


def _rejection(labels: Sequence[str]) -> list[str]:
    if labels[1:]:
        text = (
            f"{', '.join(labels[:-1])} and {labels[-1]} have no source: no kind of object fits their names, columns and "
            "foreign keys. If one of them is an object, name it with its kind"
        )
    else:
        text = f"{labels[0]} has no source: no kind of object fits its name, columns and foreign keys. If it is one, name it"
    return _comment(f"{text}, as in webhooks_scaffold {labels[0]}:class.")


def _comment(text: str, *, indent: str = "") -> list[str]:
    """Return a text as lines of comment."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=f"{indent}# ",
        subsequent_indent=f"{indent}# ",
        break_long_words=False,
        break_on_hyphens=False,
    )
