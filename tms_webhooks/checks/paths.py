"""The names and paths that a source writes name something of the noun; changes of registered models emit events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from inspect import getmembers
from typing import Any, NamedTuple

from django.apps import apps
from django.core.checks import CheckMessage
from django.db import models

from tms_webhooks.catalogue.schema import FieldKind
from tms_webhooks.checks.messages import message
from tms_webhooks.checks.settings import organization_model
from tms_webhooks.computed import Computed, Expression
from tms_webhooks.event_names import suggest
from tms_webhooks.exceptions import DeclarationError
from tms_webhooks.scaffold.declaration import paths_to_organization
from tms_webhooks.scaffold.names import is_secret
from tms_webhooks.sources.base import OWNER, Source
from tms_webhooks.sources.mapping import map_input, merged_fields
from tms_webhooks.sources.paths import BrokenPath, PathProblem, RelatedList, broken_path, follow, list_at, list_relation
from tms_webhooks.sources.registry import all_sources

Model = type[models.Model]

MOST_GUESSES = 3
"""How many paths to an organization a hint lists."""


class Entry(NamedTuple):
    """One path of a declaration.

    - ``number``: the id of the message if it is wrong
    - ``label``: how the declaration names it
    - ``model``: where it begins
    - ``field``: the canonical field that it is for, or an empty text
    - ``path``: the path; empty while a declaration is taken apart into its paths
    - ``end``: what continues it, where it has to lead to an object
    - ``many``: whether it may lead through a list
    """

    number: str
    label: str
    model: Model
    field: str = ""
    path: str = ""
    end: str = ""
    many: bool = True


def check(source: Source) -> Iterator[tuple[str, DeclarationError]]:
    """Yield the names and paths of one source that are wrong, each after the field that it is for."""
    for entry in _entries(source):
        mapped = source.mapped.get(entry.field)
        if not entry.many and mapped is not None and isinstance(mapped.lookup, RelatedList):
            continue
        found = (broken_input if entry.many else broken_path)(entry.model, f"{entry.path}{entry.end}")
        problem = str(found or "")
        if entry.number == "E085" and not found and map_input(entry.model, entry.path, one_to_one=True) is None:
            problem = "it is no column"
        if problem := problem or (_other_target(entry) if entry.number == "E035" else ""):
            yield entry.field, mistake_of(entry, found, problem)
    others = (*_wrong_names(source), *_secrets(source), *source.declared.problems)
    yield from (("", mistake) for mistake in others)


def _entries(source: Source) -> Iterator[Entry]:
    names, references = _names(source)
    for name, path in merged_fields(type(source), of_host=True).items():
        if name in (*names, *references):
            # The values of the objects in a list begin at these.
            relation = list_relation(source.model, str(source.path_of(name.rpartition(".")[0])))
            model = relation.listed if relation is not None and isinstance(path, str) else source.model
            end = ".pk" if name in references else ""
            yield from _steps(source, Entry("E032", f"fields[{name!r}]", model, name, end=end), path)
    for name, path in source.declared.paths.items():
        yield from _steps(source, Entry("E032", f"custom[{name.partition('.')[2]!r}]", source.model, name), path)
    yield from _steps(source, Entry("E032", "time_zone", source.model), source.time_zone)
    # A host may map the key of the owner directly.
    for label, path in _organizations(source):
        if not (label == "owner" and OWNER in source.paths and OWNER in source.mapped):
            yield from _steps(source, Entry("E035", label, source.model, end="" if path == "pk" else ".pk"), path)
    for path in source.only:
        yield Entry("E085", f"only[{path!r}]", source.model, path=path)


def _steps(source: Source, entry: Entry, path: Any) -> Iterator[Entry]:
    """Yield an entry for each path in a value of a declaration: the path itself, or those that it is computed of."""
    if isinstance(path, Computed):
        fields = {field.name for field in source.all_fields}
        for name, read in path.reads.items():
            if read not in fields:
                yield entry._replace(number="E085", label=f"{entry.label} reads {name!r}, which", path=read)
    elif isinstance(path, Expression):
        yield from (entry._replace(number="E032", path=step) for step in path.paths)
    elif isinstance(path, str):
        # Of several owners, a list among them could change without an event.
        yield entry._replace(path=path, many=entry.label == "owner" or source.owner == [path])


def _organizations(source: Source) -> list[tuple[str, Any]]:
    """Return the paths to organizations, each after its label."""
    owners = [("owner", source.owner)]
    if isinstance(source.owner, list | tuple):
        owners = [(f"owner[{index}]", path) for index, path in enumerate(source.owner)]
    return [*owners, ("learner", source.learner)]


def mistake_of(entry: Entry, found: BrokenPath | None, problem: str) -> DeclarationError:
    """Return the mistake of a path that can't be followed, that no query can read, or that leads to another model."""
    number, label = entry.number, entry.model._meta.label
    text = f"{entry.label} is {entry.path!r}, but {problem}."
    hint = f"Correct the path, which begins at {label}, or write None.{suggestion(found, of_lists=entry.many)}"
    if number == "E085":
        hint = (
            f"Name a path of foreign keys and lists from {label} to a column: the value has to be known before a change, "
            f"too.{suggestion(found, of_lists=True)}"
        )
    elif number == "E035":
        name = entry.label.partition("[")[0]
        lines = " or ".join(f'{name} = "{path}"' for path in paths_to_organization(entry.model)[:MOST_GUESSES])
        hint += f" These lead to an organization: {lines}." if lines else ""
    elif found is not None and found.problem is PathProblem.MANY:
        number = "E033"
        hint = (
            f'Name a property of {found.model.__name__} that returns one of them, such as Computed("main", '
            f'reads={{"all": {entry.path!r}}}), or write None.'
        )
    return DeclarationError(number, text, hint)


def _other_target(entry: Entry) -> str:
    """Return which other model a path to an organization leads to, in words; an empty text for none."""
    organization: Any = organization_model()
    model, rest = _behind_list(entry.model, entry.path)
    target: Any = model if rest == "pk" else follow(model, rest)
    is_other = target and organization and target._meta.concrete_model is not organization._meta.concrete_model
    return f"it leads to {target._meta.label}" if is_other else ""


def _names(source: Source) -> tuple[list[str], list[str]]:
    """Return the names that `fields` may use: the noun's fields with those of their lists, and its references."""
    known = [field for field in source.all_fields if field.name not in source.declared.paths]
    names = [name for field in known for name in (field.name, *(f"{field.name}.{item.name}" for item in field.items))]
    references = dict.fromkeys(reference_of(field.name) for field in known if "." in field.name)
    return names, [name for name in references if name != "organization"]


def reference_of(name: str) -> str:
    """Return the reference that a dotted canonical name belongs to: "user" of "user.email"."""
    return name.partition(".")[0]


def _wrong_names(source: Source) -> Iterator[DeclarationError]:
    """Refuse names in `fields` and `statuses` that the noun does not have."""
    names, references = _names(source)
    statuses = [field.name for field in source.all_fields if field.choices is not None]
    for attribute, known in (("fields", [*names, *references]), ("statuses", statuses)):
        for name, path in merged_fields(type(source), attribute, of_host=True).items():
            remedy = f"Write one of {', '.join(known)}.{suggest(name, known)}" if known else "Remove it."
            if name == "organization":
                remedy = f'Write owner = "{path}" in the class itself; `fields` does not change it.'
            if name not in known:
                text = f"{attribute}[{name!r}] is not one of the {attribute} of the noun {source.noun.name!r}."
                yield DeclarationError("E031", text, remedy)


def broken_input(model: Model, path: str) -> BrokenPath | None:
    """Return what `broken_path` does for a path that may lead through a list."""
    return broken_path(*_behind_list(model, path))


def _behind_list(model: Model, path: str) -> tuple[Model, str]:
    """Return the model that a list on a path leads to, and the path from there; without a list, the arguments."""
    found = list_at(model, path)
    return (model, path) if found is None else (found[1].listed, found[2] or "pk")


def suggestion(found: BrokenPath | None, *, of_lists: bool) -> str:
    """Return a "Did you mean" question with the nearest columns, relations to one object and properties; may be empty."""
    if found is None or found.problem is not PathProblem.MISSING:
        return ""
    fields = found.model._meta.get_fields()
    names = [field.name for field in fields if of_lists or not (field.one_to_many or field.many_to_many)]
    return suggest(found.part, [*names, *dict(getmembers(found.model, lambda value: isinstance(value, property)))])


def _secrets(source: Source) -> Iterator[DeclarationError]:
    """Warn of columns in payloads that look like secrets.

    A fingerprint of a secret shows only that it changes.
    """
    for name, mapped in source.mapped.items():
        for path in [mapped.path, *mapped.items.values()] if mapped.field in source.all_fields else ():
            if mapped.field.kind is not FieldKind.FINGERPRINT and is_secret(str(path).rpartition(".")[2]):
                yield DeclarationError(
                    "W103",
                    f"{name!r} is read by the path {path!r}, which looks like a secret: each event contains it.",
                    "Leave the field out. If receivers need to see that it changes, declare it in `custom` with "
                    'kind="fingerprint". Or silence this check, if it is no secret.',
                )


DONE_BY_DATABASE = ("DB_CASCADE", "DB_SET_NULL", "DB_SET_DEFAULT")


def check_managers(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Warn of registered models, and models that extend them, with hidden rows or changes that emit no events."""
    for source in all_sources():
        # A host's manager may need a request.
        with suppress(Exception):
            if source.model._default_manager.get_queryset().query.where and not source.only:
                yield message(
                    "W066",
                    f"The default manager of {source.model._meta.label} hides rows: hiding a row emits no event, but later "
                    "changes of the hidden row do.",
                    hint='Declare which rows are objects, as in only = {"deleted_at": None}. Then hiding a row is a deletion. '
                    "Or silence this check, if hidden rows are objects, too.",
                    obj=source,
                )
    # Before Django 6.1, the database does nothing by itself.
    by_database = [vars(models)[name] for name in DONE_BY_DATABASE if name in vars(models)]
    captured = tuple({model for source in all_sources() for model in source.captured_models})
    for model in apps.get_models():
        touched = [
            key.name for key in model._meta.local_fields if getattr(key.remote_field, "on_delete", None) in by_database
        ]
        if touched and issubclass(model, captured):
            yield message(
                "W056",
                f"The database itself deletes or changes rows of {model._meta.label} when the target of {', '.join(touched)} "
                "is deleted: Django sends no signal for it, and no event is emitted.",
                hint="Use an on_delete that Django itself performs, such as models.CASCADE. Or silence this check, and set "
                "reconcile = True on the source to detect these changes once a day.",
                obj=model,
            )
