"""Checks of the mapping: names, paths, and missing fields."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage
from django.db import models

from tms_webhooks import catalogue, event_names
from tms_webhooks.catalogue.schema import Field, FieldKind
from tms_webhooks.checks.messages import guess_for_hint, message
from tms_webhooks.checks.organizations import organization_model
from tms_webhooks.scaffold.declaration import Guesses
from tms_webhooks.scaffold.names import column_for, is_secret, means_opposite
from tms_webhooks.sources.aggregates import RelatedList, RelatedObjects, list_at, list_relation
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.mapping import map_field, organization_path
from tms_webhooks.sources.paths import BrokenPath, PathProblem, broken_path

OWN_PACKAGE = "tms_webhooks.sources"


def check(source: Source) -> Iterator[CheckMessage]:
    """Yield problems with the fields of one source."""
    yield from _check_names(source)
    broken = dict(_broken_paths(source))
    for name, found in broken.items():
        relation = list_relation(source.model, str(source.path_of(name.rpartition(".")[0])))
        yield refuse_path(
            source,
            f"fields[{name!r}]",
            str(source.paths[name]),
            found,
            remove='write "" to leave the field out',
            beginning=None if relation is None else relation.listed,
        )
    yield from _unread_items(source)
    yield from _check_opposites(source)
    yield from _check_secrets(source)
    for name, needed_by in _required(source).items():
        # One message per mistake: the path is refused already.
        if not broken.keys() & {name, reference_of(name)}:
            yield _missing(source, name, needed_by)


def written_fields(source: Source) -> dict[str, Any]:
    """Return the host's own mapping, without the mappings of the app's classes."""
    written: dict[str, Any] = {}
    for base in reversed(type(source).__mro__):
        if not base.__module__.startswith(OWN_PACKAGE):
            written.update(vars(base).get("fields") or {})
    return written


def available(source: Source) -> set[str]:
    """Return the canonical names for which this source has a value."""
    items = source.owners.field.items if source.owners is not None else ()
    of_owners = {f"organization.{item.name}" for item in items if _is_of_organization(item)}
    return {*source.mapped, *source.computed, *of_owners, *source.supplies()}


def _is_of_organization(field: Field) -> bool:
    """Return whether the organization model has a value of an organization; True where the setting names no model."""
    path, model = organization_path(field.name), organization_model()
    if not isinstance(path, str) or model is None:
        return True
    return bool(path) and map_field(model, field, path) is not None


def refused(source: Source) -> set[str]:
    """Return the canonical names and references whose path is wrong; they need no second message."""
    return {name for name, _found in _broken_paths(source)}


def declared_events(source: Source) -> list[tuple[str, tuple[str, ...]]]:
    """Return the events that a source declares, each with the canonical fields that it requires."""
    pairs = [(name, rule.needs(name)) for rule in source.rules for name in rule.event_types]
    if source.deadline is not None:
        waits = (source.deadline.field,)
        pairs += [(name, waits) for name in (source.deadline.expiring, source.deadline.expired) if name]
    return pairs


def _check_names(source: Source) -> Iterator[CheckMessage]:
    fields, references = _names(source)
    for name, path in written_fields(source).items():
        if name == "organization":
            remedy = f'Write organization = "{path}" in the class itself; `fields` does not change it.'
        elif name in fields or name in references:
            continue
        else:
            nearest = event_names.did_you_mean(difflib.get_close_matches(name, [*fields, *references]))
            remedy = f"Write one of {', '.join([*fields, *references])}.{nearest}"
        yield message(
            "E031", f"fields[{name!r}] is not a field of the noun {source.noun.name!r}.", hint=remedy, obj=source
        )


def _names(source: Source) -> tuple[list[str], list[str]]:
    """Return the names that `fields` may use: the noun's fields with those of their lists, and its references."""
    own = source.declared.paths.keys()
    known = [field for field in source.all_fields if field.name not in own]
    fields = [name for field in known for name in (field.name, *_items(field))]
    references = (reference_of(field.name) for field in known if "." in field.name)
    return fields, list(dict.fromkeys(references))


def _items(field: Field) -> list[str]:
    """Return the names of the values in a list of objects."""
    return [f"{field.name}.{item.name}" for item in field.items]


def _broken_paths(source: Source) -> Iterator[tuple[str, BrokenPath]]:
    fields, references = _names(source)
    listed = {name: field.name for field in source.all_fields for name in _items(field)}
    for name, path in written_fields(source).items():
        if not isinstance(path, str):
            # `declarations.check` reports it.
            continue
        if name in listed:
            relation = list_relation(source.model, str(source.path_of(listed[name])))
            found = broken_path(relation.listed, path) if path and relation is not None else None
        elif path and name in (*fields, *references) and name != "organization":
            # A reference must lead to an object with a key.
            found = broken_path(source.model, path if name in fields else f"{path}.pk")
            many = name in source.mapped and isinstance(source.mapped[name].lookup, RelatedList)
            found = None if many else found
        else:
            found = None
        if found is not None:
            yield name, found


def refuse_path(
    source: Source,
    entry: str,
    path: str,
    found: BrokenPath,
    *,
    remove: str,
    beginning: type[models.Model] | None = None,
) -> CheckMessage:
    """Return the message about the path of an entry such as "fields['name']". ``remove`` says how to do without it.

    ``beginning`` is the model where the path begins, by default that of the source.
    """
    text = f"{entry} is {path!r}, but {found}."
    if found.problem is PathProblem.MANY:
        many = list_at(source.model, path) if entry.startswith("fields[") else None
        row = f"write Row({path!r}, column=value), " if many and many[2] else ""
        return message(
            "E033",
            text,
            hint=f"Name a property of {found.model.__name__} that returns one of them, {row}or {remove}.",
            obj=source,
        )
    label = (beginning or source.model)._meta.label
    return message(
        "E032",
        text,
        hint=f"Correct the path, which begins at {label}, or {remove}." + found.suggestion,
        obj=source,
    )


def _unread_items(source: Source) -> Iterator[CheckMessage]:
    """Warn of values in a list of related objects whose path SQL can't follow."""
    written = written_fields(source)
    for name, mapped in source.mapped.items():
        if not isinstance(mapped.lookup, RelatedObjects):
            continue
        for item, path in mapped.items.items():
            key = f"{name}.{item}"
            listed = mapped.lookup.relation.listed
            if written.get(key) and item not in mapped.lookup.columns and broken_path(listed, str(path)) is None:
                yield message(
                    "W055",
                    f"fields[{key!r}] is {path!r}, which is no column: it is null in each object of the list.",
                    hint=f"Name a column of {listed._meta.label}, or a property of {source.model._meta.label} that returns the whole "
                    f"list of dictionaries: fields = {{{name!r}: …}}.",
                    obj=source,
                )


def _check_opposites(source: Source) -> Iterator[CheckMessage]:
    """Warn of booleans that are mapped to a column whose name means the opposite."""
    for name, path in written_fields(source).items():
        column = path.rpartition(".")[2] if isinstance(path, str) else ""
        if means_opposite(column, name):
            yield message(
                "W102",
                f"fields[{name!r}] is {path!r}, whose name means the opposite.",
                hint=f'Write fields = {{"{name}": Not("{path}")}}. Or silence this check, if {path!r} is true where '
                f"{name!r} is.",
                obj=source,
            )


def _check_secrets(source: Source) -> Iterator[CheckMessage]:
    """Warn of columns in payloads that look like passwords and other secrets, except of their fingerprints."""
    for field in source.all_fields:
        mapped = source.mapped.get(field.name)
        paths = [mapped.path, *mapped.items.values()] if mapped and field.kind is not FieldKind.FINGERPRINT else ()
        for path in paths:
            if is_secret(str(path).rpartition(".")[2]):
                yield message(
                    "W103",
                    f"{field.name!r} is read by the path {path!r}, which looks like a secret: each event contains it.",
                    hint="Leave the field out. If receivers need to see that it changes, declare it in `custom` with "
                    'kind="fingerprint". Or silence this check, if it is no secret.',
                    obj=source,
                )


def _required(source: Source) -> dict[str, str]:
    """Return the missing names, each with the noun or event that needs it."""
    have = available(source)
    needed = {field.name: f"the noun {source.noun.name!r}" for field in source.all_fields if field.required}
    for event_type, waits in declared_events(source):
        # Events that can't happen or are unknown need no fields.
        if event_names.is_known(event_type) and have.issuperset(waits):
            for name in catalogue.get(event_type).needs:
                needed.setdefault(name, event_type)
    return {name: needed_by for name, needed_by in needed.items() if name not in have and name != "organization.id"}


def _missing(source: Source, name: str, needed_by: str) -> CheckMessage:
    key = reference_of(name) if "." in name else name
    path = source.path_of(name)
    reason = f"{str(path)!r} does not exist on {source.model._meta.label}" if path else "it is left out"
    return message(
        "E034",
        f"{name!r} is needed by {needed_by}, but {reason}.",
        hint=f'Name the attribute: fields = {{"{key}": "{_guess(source, name) or "…"}"}}. If `derived` makes the value, '
        "list it in `supplies`.",
        obj=source,
    )


@guess_for_hint
def _guess(source: Source, name: str) -> str:
    """Return a path of the host's model that may be a missing field, or the reference of one; empty if none fits."""
    if "." in name:
        return Guesses().path_to(source.model, reference_of(name))
    field = next(field for field in source.all_fields if field.name == name)
    return column_for(source.model, field, taken=[mapped.path for mapped in source.own.values()])


def reference_of(name: str) -> str:
    """Return the reference that a dotted canonical name belongs to: "user" of "user.email"."""
    return name.partition(".")[0]
