"""Checks for fields that stay null in every payload, although receivers recognize an object by them.

The values of organizations have paths for all sources in the setting ``ORGANIZATION_FIELDS``, and one message for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage
from django.db import models

from tms_webhooks.catalogue.types import references
from tms_webhooks.catalogue.types.references import NOUN_OF_REFERENCE
from tms_webhooks.checks.fields import available, reference_of, refused
from tms_webhooks.checks.forms import wrong_forms
from tms_webhooks.checks.messages import guess_for_hint, message
from tms_webhooks.checks.organizations import organization_model
from tms_webhooks.checks.paths import broken_input
from tms_webhooks.checks.settings import is_usable, usable
from tms_webhooks.computed import as_path
from tms_webhooks.conf import SETTING_NAME
from tms_webhooks.scaffold.names import column_for
from tms_webhooks.scaffold.render import dictionary
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.mapping import follow, organization_path
from tms_webhooks.sources.paths import BrokenPath, broken_path
from tms_webhooks.sources.registry import all_sources

RECOGNIZED_BY = frozenset({"name", "first_name", "last_name", "email", "start_at", "end_at"})
"""The last parts of the names of fields by which a person or object is recognized."""
UNKNOWN = "…"
"""A path to replace, in a hint. Another check refuses it; the empty path would leave the value out."""
ORGANIZATIONS = ("organization", "learner_organization")


def check(source: Source) -> Iterator[CheckMessage]:
    """Warn of names and dates that one source never sends, unless they are left out on purpose."""
    # Where a row is no object of the noun, the source of that object reports its fields.
    missing = _expected(source) if source.snapshot else []
    if not missing:
        return
    guessed = {name: _guess(source, name) or UNKNOWN for name in missing}
    yield message(
        "W092",
        f"Null in every payload, because {source.model._meta.label} has no such attribute: "
        f"{', '.join(map(repr, missing))}.",
        hint=f'Map them: fields = {dictionary(guessed)}. The path "" leaves a field out on purpose.',
        obj=source,
    )


def check_organizations(**_kwargs: Any) -> list[CheckMessage]:
    """Check the paths of an organization's values, which all sources use, in one message for all of them."""
    model = organization_model()
    if model is None or not is_usable("ORGANIZATION_FIELDS"):
        return []
    written = usable("ORGANIZATION_FIELDS")
    broken = {name: found for name, path in written.items() if path and (found := _broken(model, path)) is not None}
    messages = [
        message(
            "E090",
            f"{SETTING_NAME}['ORGANIZATION_FIELDS'][{name!r}] is {_written(written[name])}, but {found}.",
            hint=f"Correct the path, which begins at {model._meta.label}, or write '' to leave it out.{found.suggestion}",
        )
        for name, found in broken.items()
    ]
    sound = (source for source in all_sources() if not list(wrong_forms(source)))
    missing = sorted({name for source in sound for name in _nulls_of_organizations(source)} - broken.keys())
    if missing:
        guessed = {name: _guess_of_organization(model, name) or UNKNOWN for name in missing}
        entries = dictionary({**written, **guessed})
        messages.append(
            message(
                "W091",
                f"Null in payloads, because {model._meta.label} has no such attribute: an organization's "
                f"{' and '.join(map(repr, missing))}.",
                hint=f'Write {SETTING_NAME}["ORGANIZATION_FIELDS"] = {entries}. The path "" leaves a value out on purpose.',
            )
        )
    return messages


def _broken(model: type[models.Model], declared: Any) -> BrokenPath | None:
    """Return the part of a path of an organization, or of a computed value's paths, that can't be followed."""
    path = as_path(declared)
    if isinstance(path, str):
        return broken_path(model, path)
    return next(filter(None, (broken_input(model, one) for one in path.paths)), None)


def _written(path: Any) -> str:
    return repr(path) if isinstance(path, str) else str(path)


def _nulls_of_organizations(source: Source) -> Iterator[str]:
    """Yield the names of values that a source finds by `ORGANIZATION_FIELDS`, and that the organization model lacks."""
    have = available(source)
    for field in source.all_fields:
        reference, _, leaf = field.name.rpartition(".")
        if reference in ORGANIZATIONS and leaf in ("name", "external_id") and f"{reference}.id" in have:
            of_owners = source.owners is not None and reference == "organization"
            path = organization_path(leaf) if of_owners else source.path_of(field.name)
            is_written = field.name in source.paths or not path
            if field.name not in have and not is_written:
                yield leaf


@guess_for_hint
def _guess_of_organization(model: type[models.Model], name: str) -> str:
    fields = references.organization("")
    return column_for(model, next(field for field in fields if field.name == f"organization.{name}"))


def _expected(source: Source) -> list[str]:
    """Return the missing fields of the object itself, and of the references that it has."""
    have = available(source)
    names = []
    for field in source.all_fields:
        reference, _, leaf = field.name.rpartition(".")
        is_there = (not reference or f"{reference}.id" in have) and reference not in ORGANIZATIONS
        if leaf in RECOGNIZED_BY and is_there and field.name not in have and not _is_settled(source, field.name):
            names.append(field.name)
    return names


def _is_settled(source: Source, name: str) -> bool:
    """Return whether the field is left out on purpose, or whether another message or source reports it."""
    path, reference = source.path_of(name), reference_of(name)
    base = str(source.paths.get(reference, reference))
    target = follow(source.model, base) if base and "." in name else None
    noun = NOUN_OF_REFERENCE.get(reference, reference)
    by_other = any(other.model is target and other.noun.name == noun for other in all_sources())
    return not path or by_other or bool(refused(source) & {name, reference})


@guess_for_hint
def _guess(source: Source, name: str) -> str:
    """Return the path of a column that may hold the value; empty if none fits."""
    field = next(field for field in source.all_fields if field.name == name)
    reference, _, _leaf = name.rpartition(".")
    base = str(source.paths.get(reference, reference))
    target = (follow(source.model, base) if base else None) if reference else source.model
    column = column_for(target, field) if target is not None else ""
    return f"{base}.{column}" if column and reference else column
