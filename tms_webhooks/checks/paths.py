"""The names and paths that a source writes: each names something of the noun, and leads somewhere."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from django.db import models

from tms_webhooks import catalogue
from tms_webhooks.catalogue import custom
from tms_webhooks.catalogue.custom import ROOT
from tms_webhooks.catalogue.schema import FieldKind
from tms_webhooks.checks.messages import guess
from tms_webhooks.checks.organizations import organization_model
from tms_webhooks.computed import AND, Computed, Expression, Row
from tms_webhooks.event_names import did_you_mean
from tms_webhooks.exceptions import DeclarationError
from tms_webhooks.scaffold.names import is_secret, means_opposite
from tms_webhooks.scaffold.walk import is_organization, paths_to
from tms_webhooks.sources.aggregates import ListRelation, RelatedList, list_at, list_relation
from tms_webhooks.sources.base import OWNER, Source
from tms_webhooks.sources.mapping import map_input, merged_fields
from tms_webhooks.sources.paths import BrokenPath, PathProblem, broken_path, follow, lookup_of
from tms_webhooks.sources.registry import all_sources

Model = type[models.Model]

LEFT_OUT = "write None to leave the field out"
MOST_GUESSES = 3
"""How many paths to an organization a hint lists."""


def check(source: Source) -> Iterator[DeclarationError]:
    """Yield the names and paths of one source that are wrong."""
    yield from _wrong_names(source)
    broken, lists = broken_fields(source), _lists(source)
    for name, found in broken.items():
        beginning = lists[name].listed if name in lists else source.model
        yield _refused(f"fields[{name!r}]", str(source.paths[name]), found, LEFT_OUT, beginning)
    for name, path in merged_fields(type(source), of_host=True).items():
        is_read = name not in lists or not isinstance(path, str) or lookup_of(lists[name].listed, path) is not None
        if path and name not in broken and not is_read:
            yield DeclarationError(
                "W055",
                f"fields[{name!r}] is {path!r}, which is no column: it is null in each object of the list.",
                f"Name a column of {lists[name].listed._meta.label}, or a property of {source.model._meta.label} that returns "
                f"the whole list of dictionaries: fields = {{{name.rpartition('.')[0]!r}: …}}.",
            )
    yield from _doubtful(source)
    yield from _custom(source)
    for entry, declared in {
        **{f"fields[{name!r}]": path for name, path in merged_fields(type(source)).items()},
        **{name: path for name, path, _is_only in _organizations(source)},
    }.items():
        if isinstance(declared, Expression):
            yield from _computed(source, entry, declared)
    for path in source.only:
        if map_input(source.model, path, one_to_one=True) is None:
            yield _unreadable(source, f"only[{path!r}]", path)
    yield from _owners(source)
    missing = broken_path(source.model, source.time_zone) if source.time_zone is not None else None
    if missing is not None:
        yield DeclarationError(
            "E038",
            f"time_zone is {source.time_zone!r}, but {missing}.",
            f"Write the path from {source.model._meta.label} to a time zone, such as "
            f'time_zone = "organization.time_zone", or None.{suggestion(missing)}',
        )


def reference_of(name: str) -> str:
    """Return the reference that a dotted canonical name belongs to: "user" of "user.email"."""
    return name.partition(".")[0]


def broken_fields(source: Source) -> dict[str, BrokenPath]:
    """Return the names in the host's mapping whose path can't be followed; they need no second message."""
    fields, references = _names(source)
    lists = _lists(source)
    broken = {}
    for name, path in merged_fields(type(source), of_host=True).items():
        mapped, found = source.mapped.get(name), None
        if not path or not isinstance(path, str) or (mapped is not None and isinstance(mapped.lookup, RelatedList)):
            continue
        if name in lists:
            found = broken_path(lists[name].listed, path)
        elif name in fields:
            found = broken_path(source.model, path)
        elif name in references and name != "organization":
            # It must lead to an object with a key.
            found = broken_path(source.model, f"{path}.pk")
        if found is not None:
            broken[name] = found
    return broken


def refused_fields(source: Source) -> set[str]:
    """Return the names in the host's mapping about which there is a message already."""
    mapping = merged_fields(type(source), of_host=True).items()
    unread = (name for name, path in mapping if isinstance(path, Computed) and any(_reads(source, name, path)))
    return {*broken_fields(source), *unread}


def suggestion(found: BrokenPath | None) -> str:
    """Return a "Did you mean" question with the nearest columns, relations to one object and properties; may be empty."""
    if found is None or found.problem is not PathProblem.MISSING:
        return ""
    fields = [one.name for one in found.model._meta.get_fields() if not (one.one_to_many or one.many_to_many)]
    named = [pair for base in found.model.__mro__ for pair in vars(base).items()]
    properties = [name for name, value in named if isinstance(value, property) and name != "pk"]
    return did_you_mean(difflib.get_close_matches(found.part, [*fields, *properties]))


def _names(source: Source) -> tuple[list[str], list[str]]:
    """Return the names that `fields` may use: the noun's fields with those of their lists, and its references."""
    known = [field for field in source.all_fields if field.name not in source.declared.paths]
    fields = [name for field in known for name in (field.name, *(f"{field.name}.{one.name}" for one in field.items))]
    return fields, list(dict.fromkeys(reference_of(field.name) for field in known if "." in field.name))


def _lists(source: Source) -> dict[str, ListRelation]:
    """Return the lists whose objects have the values of these names, such as "courses.name"."""
    lists = [field for field in source.all_fields if field.items]
    listed = ((field, list_relation(source.model, str(source.path_of(field.name)))) for field in lists)
    return {f"{field.name}.{item.name}": relation for field, relation in listed if relation for item in field.items}


def _wrong_names(source: Source) -> Iterator[DeclarationError]:
    """Refuse names in `fields` that the noun does not have."""
    fields, references = _names(source)
    known = [*fields, *references]
    for name, path in merged_fields(type(source), of_host=True).items():
        if name == "organization":
            remedy = f'Write owner = "{path}" in the class itself; `fields` does not change it.'
        elif name in known:
            continue
        else:
            nearest = difflib.get_close_matches(name, known)
            remedy = f"Write one of {', '.join(known)}.{did_you_mean(nearest)}"
        yield DeclarationError("E031", f"fields[{name!r}] is not a field of the noun {source.noun.name!r}.", remedy)


def _refused(entry: str, path: str, found: BrokenPath, without: str, beginning: Model) -> DeclarationError:
    """Return the message about a path that can't be followed. ``without`` is what to do in place of writing it."""
    text = f"{entry} is {path!r}, but {found}."
    if found.problem is PathProblem.MANY:
        many = list_at(beginning, path) if entry.startswith("fields[") else None
        row = f"write Row({path!r}, column=value), " if many and many[2] else ""
        return DeclarationError(
            "E033", text, f"Name a property of {found.model.__name__} that returns one of them, {row}or {without}."
        )
    hint = f"Correct the path, which begins at {beginning._meta.label}, or {without}.{suggestion(found)}"
    return DeclarationError("E032", text, hint)


def _doubtful(source: Source) -> Iterator[DeclarationError]:
    """Warn of columns whose name means the opposite of a boolean, and of those that look like secrets in payloads.

    A fingerprint of a secret shows only that it changes.
    """
    for name, path in merged_fields(type(source), of_host=True).items():
        column = path.rpartition(".")[2] if isinstance(path, str) else ""
        if means_opposite(column, name):
            yield DeclarationError(
                "W102",
                f"fields[{name!r}] is {path!r}, whose name means the opposite.",
                f'Write fields = {{"{name}": Not("{path}")}}. Or silence this check, if {path!r} is true where {name!r} is.',
            )
    for field in source.all_fields:
        mapped = source.mapped.get(field.name)
        for path in [mapped.path, *mapped.items.values()] if mapped and field.kind is not FieldKind.FINGERPRINT else ():
            if is_secret(str(path).rpartition(".")[2]):
                yield DeclarationError(
                    "W103",
                    f"{field.name!r} is read by the path {path!r}, which looks like a secret: each event contains it.",
                    "Leave the field out. If receivers need to see that it changes, declare it in `custom` with "
                    'kind="fingerprint". Or silence this check, if it is no secret.',
                )


def _custom(source: Source) -> Iterator[DeclarationError]:
    """Refuse fields of the host's own in `custom` that can't be read, or whose names have another meaning."""
    for key, path in source.declared.paths.items():
        entry = f"custom[{key.partition('.')[2]!r}]"
        if isinstance(path, Expression):
            yield from _computed(source, entry, path)
            continue
        found = broken_path(source.model, path)
        if found is not None and list_relation(source.model, path) is None:
            yield _refused(entry, path, found, "remove the entry", source.model)
    yield from source.declared.problems
    noun = source.noun.name
    members = catalogue.grouped().get(noun, ())
    taken = {
        reference_of(field.name)
        for field in (*source.noun.fields, *(field for event_type in members for field in event_type.extra))
    }
    for one in source.declared.fields:
        name, path = one.name, source.declared.paths[f"{ROOT}.{one.name}"]
        if name in taken:
            yield DeclarationError(
                "E082",
                f"custom[{name!r}] has the name of a field of the noun {noun!r}: receivers would confuse data.{name} and "
                f"data.{ROOT}.{name}.",
                f'If it is that field, map it: fields = {{"{name}": "{path}"}}. Otherwise give it another name.',
            )
        elif ROOT in taken:
            yield DeclarationError(
                "E082",
                f"custom[{name!r}] can't be sent: the noun {noun!r} has a field {ROOT!r} of its own.",
                f"Rename the field {ROOT!r} of the noun, or add this field to the noun.",
            )
        twin = custom.of_noun(noun).get(one.field.name, one)
        if (twin.field.kind, twin.field.privacy) != (one.field.kind, one.field.privacy):
            first = next(other for other in all_sources() if twin in other.custom_fields)
            yield DeclarationError(
                "E083",
                f"custom[{name!r}] is {one.field.kind}, {one.field.privacy} here, but {twin.field.kind}, "
                f"{twin.field.privacy} in {first!r}: the events of {noun!r} have one schema.",
                "Give both the same kind and privacy, or rename one of them.",
            )


def _computed(source: Source, entry: str, declared: Expression) -> Iterator[DeclarationError]:
    """Refuse paths in `First`, `Not` and `Row` that can't be followed, and a `Row` that leads through no list."""
    if isinstance(declared, Computed):
        yield from _reads(source, entry, declared)
        return
    for path in declared.paths:
        through = list_at(source.model, declared.path if isinstance(declared, Row) else path)
        if isinstance(declared, Row) and through is None:
            yield DeclarationError(
                "E067",
                f"{entry} is {declared}, but {declared.path!r} leads through no list of {source.model._meta.label}.",
                f'Write the name of a list and a column of its rows: Row("translations.title", {declared.column}=…).',
            )
            continue
        found = broken_input(source.model, path if entry.startswith("fields") else f"{path}.pk")
        if found is not None:
            written = str(declared) if isinstance(declared, Row) else path
            beginning = source.model if through is None else through[1].listed
            yield _refused(entry, written, found, "write another path", beginning)


def broken_input(model: Model, path: str) -> BrokenPath | None:
    """Return what `broken_path` does for a path that may lead through a list, and end with several of its columns."""
    found = list_at(model, path)
    if found is None:
        return broken_path(model, path)
    _base, relation, rest = found
    return next(filter(None, (broken_path(relation.listed, column) for column in (rest or "pk").split(AND))), None)


def _reads(source: Source, entry: str, declared: Computed) -> Iterator[DeclarationError]:
    """Refuse what a function reads if it is neither a field of the noun nor a path that a query can read."""
    fields = {field.name for field in source.all_fields}
    for name, path in declared.reads.items():
        if path not in fields and map_input(source.model, path) is None:
            yield _unreadable(source, f"{entry} reads {name!r}, which", path)
    found = broken_path(source.model, declared.function) if isinstance(declared.function, str) else None
    if found is not None:
        yield _refused(entry, str(declared.function), found, "write a function", source.model)


def _unreadable(source: Source, entry: str, path: str) -> DeclarationError:
    """Return the message about a path that no query can read: its value before a change is not known."""
    found = broken_input(source.model, path)
    return DeclarationError(
        "E085",
        f"{entry} is {path!r}, {f'but {found}' if found else 'which is no column'}.",
        f"Name a path of foreign keys and lists from {source.model._meta.label} to a column: the value has to be known "
        f"before a change, too.{suggestion(found)}",
    )


def _organizations(source: Source) -> Iterator[tuple[str, Any, bool]]:
    """Yield the paths to organizations: the name of each in the declaration, and whether it may lead to several."""
    if isinstance(source.owner, list | tuple):
        for index, path in enumerate(source.owner):
            yield f"owner[{index}]", path, len(source.owner) == 1
    else:
        yield "owner", source.owner, True
    yield "learner", source.learner, False


def _owners(source: Source) -> Iterator[DeclarationError]:
    """Refuse paths to an organization that lead to something else."""
    organization = organization_model()
    if organization is None:
        return  # Another check reports it.
    label = organization._meta.label
    for entry, path, may_be_list in _organizations(source):
        # A host may map the key column directly.
        is_mapped = entry == "owner" and OWNER in source.paths and OWNER in source.mapped
        if is_mapped or not isinstance(path, str):
            continue
        problem, meant = _not_an_organization(source.model, path, organization, may_be_list=may_be_list)
        if problem:
            name = entry.partition("[")[0]
            yield DeclarationError(
                "E036" if name == "learner" else "E035",
                f"{entry} is {path!r}, but {problem}.",
                f'Write the path from {source.model._meta.label} to {label}, such as {name} = "user.organization"'
                f"{', or learner = None' if name == 'learner' else ''}.{meant}{guess(_guesses, source, name)}",
            )


def _not_an_organization(model: Model, path: str, organization: Model, *, may_be_list: bool) -> tuple[str, str]:
    """Return why a path does not lead to an organization, and a suggestion of near names.

    Both are empty if it does, or if only a value could show it.
    """
    through = list_at(model, path) if may_be_list else None
    if through is not None:
        model, path = through[1].listed, through[2]
    found = broken_path(model, f"{path}.pk") if path else None
    if found is not None:
        lists = [one.name for one in found.model._meta.get_fields() if list_relation(found.model, one.name)]
        nearest = difflib.get_close_matches(found.part, lists) if may_be_list else []
        return str(found), suggestion(found) or did_you_mean(nearest)
    target = follow(model, path) if path else model
    if target is None or target._meta.concrete_model is organization._meta.concrete_model:
        return "", ""
    return f"it leads to {target._meta.label}", ""


def _guesses(source: Source, name: str) -> str:
    """Return the paths of foreign keys to an organization, ready to paste, with a leading space; or an empty text."""
    lines = " or ".join(f'{name} = "{path}"' for path in paths_to(source.model, is_organization)[:MOST_GUESSES])
    return f" These lead there: {lines}." if lines else ""
