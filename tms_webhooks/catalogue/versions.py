"""Older versions of event types, for receivers that don't support the current one.

When you raise the ``version`` of an `EventType`, register its previous version::

    register_older(OlderVersion("class.cancelled", version=1, fields=..., convert=...))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tms_webhooks.catalogue import custom
from tms_webhooks.catalogue.event_type import EventType, envelope_schema
from tms_webhooks.catalogue.schema import Field, JSONSchema
from tms_webhooks.exceptions import ConfigurationError, PayloadError


@dataclass(frozen=True, slots=True, eq=False)
class OlderVersion:
    """An older version of an event type.

    ``fields`` are the fields of its ``data``. ``convert`` returns a whole event of the next version in this version; it
    may modify its argument.
    """

    event_type: str
    version: int
    fields: tuple[Field, ...]
    convert: Callable[[dict[str, Any]], dict[str, Any]]


_older: dict[tuple[str, int], OlderVersion] = {}


def register_older(older: OlderVersion) -> OlderVersion:
    """Add an older version and return it; raise `ConfigurationError` if its number is invalid or registered already."""
    key = (older.event_type, older.version)
    if older.version < 1:
        raise ConfigurationError(f'"{older.event_type}": {older.version} is not a version; the first version is 1.')
    if key in _older:
        raise ConfigurationError(f'Version {older.version} of "{older.event_type}" is registered already.')
    _older[key] = older
    custom.forget_results()
    return older


def convert_down(event: dict[str, Any], version: int) -> dict[str, Any]:
    """Return an event converted down to ``version``; an event of that version or an older one is returned unchanged.

    Raises `PayloadError` if a version in between is not registered.
    """
    while event["version"] > version:
        target = event["version"] - 1
        older = _older.get((event["type"], target))
        if older is None:
            raise PayloadError(f"Version {target} of {event['type']} can't be made from version {target + 1}.")
        event = {**older.convert(event), "version": target}
    return event


def missing_step(event_type: EventType, version: int) -> int | None:
    """Return the newest version between the current one and ``version`` that is not registered, or None."""
    versions = range(event_type.version - 1, version - 1, -1)
    return next((number for number in versions if (event_type.name, number) not in _older), None)


def fields_at(event_type: EventType, version: int | None) -> tuple[Field, ...]:
    """Return the fields of an event type in a version; the current fields if that version is not registered, or None.

    The fields that sources add are the same in each version.
    """
    older = None if version is None else _older.get((event_type.name, version))
    return event_type.fields if older is None else (*older.fields, *custom.fields_of(event_type.noun.name))


def schema_at(event_type: EventType, version: int) -> JSONSchema:
    """Return the JSON Schema of an event type in a version."""
    return envelope_schema(event_type, fields_at(event_type, version), version=version)


def example_at(event_type: EventType, version: int | None) -> dict[str, Any]:
    """Return the sample event, converted down to ``version`` if that is given."""
    example = event_type.example()
    return example if version is None else convert_down(example, version)
