"""Fields that a host's sources add to the events of a noun, under ``data.custom``.

Event types are shared by all sources of a noun, so the fields of each source are added to the noun here. `EventType.fields`
includes them, and with it everything that is made from an event type: schemas, samples, documents, filters and tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from tms_webhooks.catalogue.schema import Field
from tms_webhooks.catalogue.values import nested

# The object in ``data`` that holds the fields, so that a later canonical field has another path.
ROOT = "custom"

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class CustomField:
    """A field of the host's own.

    - ``field``: its name in ``data`` ("custom.department"), kind and privacy
    - ``title``: its name in the format ``skillable``
    - ``sample``: its value in sample events
    """

    field: Field
    title: str
    sample: Any

    @property
    def name(self) -> str:
        """The name without the root: "department"."""
        return self.field.name.partition(".")[2]


class HasCustomFields(Protocol):
    """A source. It is asked for its fields when they are first needed, because models must be loaded by then."""

    @property
    def custom_fields(self) -> tuple[CustomField, ...]:
        """The fields that it adds to the events of its noun."""


_owners: dict[str, list[HasCustomFields]] = {}
_clear_caches: list[Callable[[], None]] = []


def cached(function: Callable[P, R], most: int | None = None) -> Callable[P, R]:
    """Cache the results of a function of the catalogue, by its arguments, until the catalogue changes; ``most`` of them, if given.

    It changes when a source adds or removes fields, and when event types are registered.
    """
    remembered = lru_cache(most)(function)
    _clear_caches.append(remembered.cache_clear)
    # The type of `cache` forgets the parameters.
    return cast("Callable[P, R]", remembered)


def forget_results() -> None:
    """Clear the caches of all `cached` functions."""
    for clear in _clear_caches:
        clear()


def add(noun: str, owner: HasCustomFields) -> None:
    """Add the fields of a source to the events of a noun."""
    _owners.setdefault(noun, []).append(owner)
    forget_results()


def remove(noun: str, owner: HasCustomFields) -> None:
    """Remove the fields of a source from the events of a noun."""
    _owners[noun] = [one for one in _owners.get(noun, ()) if one is not owner]
    forget_results()


@cached
def of_noun(noun: str) -> Mapping[str, CustomField]:
    """Return the fields that sources add to a noun, by their names in ``data``, in the order of registration.

    Of two fields with the same name the first counts; a check reports fields that differ.
    """
    found: dict[str, CustomField] = {}
    for owner in _owners.get(noun, ()):
        for one in owner.custom_fields:
            found.setdefault(one.field.name, one)
    return found


def fields_of(noun: str) -> tuple[Field, ...]:
    """Return the fields that sources add to a noun."""
    return tuple(one.field for one in of_noun(noun).values())


def sample_of(noun: str) -> dict[str, Any]:
    """Return the part of a sample's ``data`` with these fields; empty if the noun has none."""
    return nested({name: one.sample for name, one in of_noun(noun).items()})
