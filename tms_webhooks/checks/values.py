"""Values that a source lacks: those that payloads or events need, and those by which receivers recognize an object.

The values of organizations have paths for all sources in the setting ``ORGANIZATION_FIELDS``, and one message for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage

from tms_webhooks import catalogue, event_names
from tms_webhooks.catalogue.types import references
from tms_webhooks.catalogue.types.references import NOUN_OF_REFERENCE
from tms_webhooks.checks.forms import wrong_forms
from tms_webhooks.checks.messages import guess, message
from tms_webhooks.checks.organizations import organization_model
from tms_webhooks.checks.paths import broken_input, reference_of, refused_fields, suggestion
from tms_webhooks.checks.settings import is_usable, usable
from tms_webhooks.computed import Not, as_path
from tms_webhooks.conf import SETTING_NAME
from tms_webhooks.exceptions import DeclarationError
from tms_webhooks.scaffold.declaration import Guesses
from tms_webhooks.scaffold.names import column_for
from tms_webhooks.scaffold.render import dictionary
from tms_webhooks.sources.base import OWNER, Source
from tms_webhooks.sources.mapping import merged_fields, organization_path
from tms_webhooks.sources.only import without_null
from tms_webhooks.sources.paths import broken_path, follow, may_be_null
from tms_webhooks.sources.registry import all_sources

RECOGNIZED_BY = frozenset({"name", "first_name", "last_name", "email", "start_at", "end_at"})
"""The last parts of the names of fields by which a person or object is recognized."""
UNKNOWN = "…"
"""A path to replace, in a hint. Another check refuses it."""
ORGANIZATIONS = ("organization", "learner_organization")


def check(source: Source) -> Iterator[DeclarationError]:
    """Yield the values that one source lacks. One whose path is wrong is reported already."""
    have, broken = available(source), refused_fields(source)
    fields = [one for one in source.all_fields if broken.isdisjoint({one.name, reference_of(one.name)})]
    needed = {one.name: f"the noun {source.noun.name!r}" for one in source.all_fields if one.required}
    events = declared_events(source)
    for event_type, waits in events:
        # Events that can't happen or are unknown need no fields.
        if event_names.is_known(event_type) and have.issuperset(waits):
            for name in catalogue.get(event_type).needs:
                needed.setdefault(name, event_type)
    for name, needed_by in needed.items():
        if name not in have and name != OWNER and broken.isdisjoint({name, reference_of(name)}):
            yield _missing(source, name, needed_by)
    yield from _nullable(source)
    settled = have | {name for name, path in merged_fields(type(source), of_host=True).items() if path is None}
    for missing in (one.name for one in fields if not one.required and one.name not in settled):
        names = [event_type for event_type, waits in events if missing in waits]
        if names:
            yield DeclarationError(
                "W047",
                f"Never emitted, because {source.model._meta.label} has no {missing!r}: {', '.join(dict.fromkeys(names))}.",
                f'Map it: fields = {{"{missing}": "…"}}; or leave it out on purpose: fields = {{"{missing}": None}}.',
            )
    # Where a row is no object of the noun, the source of that object reports its fields.
    nulls = [one.name for one in fields if source.snapshot and _is_expected(source, one.name, have)]
    if nulls:
        guessed = {name: guess(_guess, source, name) or UNKNOWN for name in nulls}
        yield DeclarationError(
            "W092",
            f"Null in every payload, because {source.model._meta.label} has no such attribute: "
            f"{', '.join(map(repr, nulls))}.",
            f"Map them: fields = {dictionary(guessed)}. None leaves a field out on purpose.",
        )


def available(source: Source) -> set[str]:
    """Return the canonical names for which this source has a value."""
    have = set(source.available)
    model = organization_model()
    for one in source.owners.field.items if source.owners is not None else ():
        path = organization_path(one.name)
        # A computed value, or any where the setting names no model, may be there.
        if not isinstance(path, str) or model is None or (path and broken_path(model, path) is None):
            have.add(f"organization.{one.name}")
    return have


def declared_events(source: Source) -> list[tuple[str, tuple[str, ...]]]:
    """Return the events that a source declares, each with the canonical fields that it requires."""
    pairs = [(name, rule.needs(name)) for rule in source.rules for name in rule.event_types]
    if source.deadline is not None:
        waits = (source.deadline.field,)
        pairs += [(name, waits) for name in (source.deadline.expiring, source.deadline.expired) if name]
    return pairs


def _missing(source: Source, name: str, needed_by: str) -> DeclarationError:
    path = source.path_of(name)
    reason = f"{str(path)!r} does not exist on {source.model._meta.label}" if path else "it is left out"
    return DeclarationError(
        "E034",
        f"{name!r} is needed by {needed_by}, but {reason}.",
        f'Name the attribute: fields = {{"{reference_of(name)}": "{guess(_guess_of_reference, source, name) or UNKNOWN}"}}. Or make '
        "the value by a function: Computed(function, reads={…}).",
    )


def _nullable(source: Source) -> Iterator[DeclarationError]:
    """Refuse fields that payloads require and that may be null: such an event could not be sent."""
    for name, mapped in source.mapped.items():
        is_sent = mapped.field.required and name != OWNER
        if not is_sent or not isinstance(mapped.lookup, str) or source.selection.excludes_null(mapped.path):
            continue
        if may_be_null(source.model, mapped.path):
            column = reference_of(mapped.path)
            condition = without_null(source.only[column]) if column in source.only else Not(None)
            yield DeclarationError(
                "E088",
                f"{name!r} is required in payloads, but {source.model._meta.label}.{mapped.path} may be null.",
                f"Leave these rows out: only = {dictionary({**source.only, column: condition})}. Or make the column NOT "
                f"NULL, or map {name!r} to First of several paths.",
            )


def _is_expected(source: Source, name: str, have: set[str]) -> bool:
    """Return whether a field of the object, or of a reference that it has, is missing, and not left out on purpose.

    The source of another model reports that model's fields.
    """
    reference, _, leaf = name.rpartition(".")
    if leaf not in RECOGNIZED_BY or name in have or reference in ORGANIZATIONS or not source.path_of(name):
        return False
    if not reference:
        return True
    target, noun = _target(source, reference), NOUN_OF_REFERENCE.get(reference, reference)
    return f"{reference}.id" in have and not any(
        other.model is target and other.noun.name == noun for other in all_sources()
    )


def _target(source: Source, reference: str) -> Any:
    """Return the model to which a reference leads; None if it leads to no other object."""
    base = str(source.paths.get(reference, reference))
    return follow(source.model, base) if base else None


def _guess(source: Source, name: str) -> str:
    """Return the path of a column that may hold the value of a field; empty if none fits."""
    field = next(field for field in source.all_fields if field.name == name)
    reference = name.rpartition(".")[0]
    target = _target(source, reference) if reference else source.model
    column = column_for(target, field) if target is not None else ""
    return f"{source.paths.get(reference, reference)}.{column}" if column and reference else column


def _guess_of_reference(source: Source, name: str) -> str:
    """Return a path of the host's model that may be a missing field, or the reference of one; empty if none fits."""
    if "." in name:
        return Guesses().path_to(source.model, reference_of(name))
    field = next(field for field in source.all_fields if field.name == name)
    return column_for(source.model, field, taken=[mapped.path for mapped in source.own.values()])


def check_organizations(**_kwargs: Any) -> Iterator[CheckMessage]:
    """Check the paths of an organization's values, which all sources use, in one message for all of them."""
    model = organization_model()
    if model is None or not is_usable("ORGANIZATION_FIELDS"):
        return
    written = usable("ORGANIZATION_FIELDS")
    broken = set()
    for name, declared in written.items():
        path = as_path(declared)
        for one in [path] if isinstance(path, str) else getattr(path, "paths", ()):
            found = broken_input(model, one)
            if found is not None:
                broken.add(name)
                yield message(
                    "E090",
                    f"{SETTING_NAME}['ORGANIZATION_FIELDS'][{name!r}] is "
                    f"{repr(path) if isinstance(path, str) else path}, but {found}.",
                    hint=f"Correct the path, which begins at {model._meta.label}, or write None to leave it out."
                    f"{suggestion(found)}",
                )
                break
    sound = (source for source in all_sources() if not wrong_forms(source))
    missing = sorted({name for source in sound for name in _nulls_of_organizations(source)} - broken)
    if missing:
        fields = {one.name: one for one in references.organization("")}
        guessed = {name: guess(column_for, model, fields[f"organization.{name}"]) or UNKNOWN for name in missing}
        entries = dictionary({**written, **guessed})
        yield message(
            "W091",
            f"Null in payloads, because {model._meta.label} has no such attribute: an organization's "
            f"{' and '.join(map(repr, missing))}.",
            hint=f'Write {SETTING_NAME}["ORGANIZATION_FIELDS"] = {entries}. None leaves a value out on purpose.',
        )


def _nulls_of_organizations(source: Source) -> Iterator[str]:
    """Yield the names of values that a source finds by `ORGANIZATION_FIELDS`, and that the organization model lacks."""
    have = available(source)
    for field in source.all_fields:
        reference, _, leaf = field.name.rpartition(".")
        if reference in ORGANIZATIONS and leaf in ("name", "external_id") and f"{reference}.id" in have:
            of_owners = source.owners is not None and reference == "organization"
            path = organization_path(leaf) if of_owners else source.path_of(field.name)
            if path and field.name not in {*have, *source.paths}:
                yield leaf
