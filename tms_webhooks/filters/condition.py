"""A condition as a tree of nodes, and matching an event against it.

A condition names paths in an event and the values expected there; ``all``, ``any`` and ``not`` combine conditions. It
can't run code or loop: matching reads each path once.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from tms_webhooks.catalogue import FieldKind
from tms_webhooks.catalogue.values import value_at

# The comparisons of a number or a time, by the name that a condition uses.
COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


class Node(ABC):
    """A condition, or a part of it."""

    @abstractmethod
    def holds(self, event: Mapping[str, Any]) -> bool:
        """Return whether an event, given as its whole body, meets the condition."""

    @abstractmethod
    def __str__(self) -> str:
        """Return the condition as text for people. It contains no values of events."""


@dataclass(frozen=True)
class AllOf(Node):
    """All parts hold."""

    parts: tuple[Node, ...]

    def holds(self, event: Mapping[str, Any]) -> bool:
        return all(part.holds(event) for part in self.parts)

    def __str__(self) -> str:
        return _join(self.parts, _("and"))


@dataclass(frozen=True)
class AnyOf(Node):
    """At least one part holds."""

    parts: tuple[Node, ...]

    def holds(self, event: Mapping[str, Any]) -> bool:
        return any(part.holds(event) for part in self.parts)

    def __str__(self) -> str:
        return _join(self.parts, _("or"))


@dataclass(frozen=True)
class Negation(Node):
    """The part does not hold."""

    part: Node

    def holds(self, event: Mapping[str, Any]) -> bool:
        return not self.part.holds(event)

    def __str__(self) -> str:
        return _("not (%(part)s)") % {"part": self.part}


@dataclass(frozen=True)
class OneOf(Node):
    """The value at a path is one of these values; of a list, at least one item is."""

    path: str
    kind: FieldKind | None
    values: tuple[Any, ...]

    def holds(self, event: Mapping[str, Any]) -> bool:
        found = value_at(event, self.path)
        items = found if isinstance(found, list) else [found]
        return any(comparable(self.kind, item) in self.values for item in items)

    def __str__(self) -> str:
        return _("%(path)s is %(values)s") % {"path": self.path, "values": in_words(self.values)}


@dataclass(frozen=True)
class InRange(Node):
    """The value at a path is a number or a time within these bounds."""

    path: str
    kind: FieldKind | None
    bounds: tuple[tuple[str, Any], ...]

    def holds(self, event: Mapping[str, Any]) -> bool:
        found = value_at(event, self.path)
        try:
            return found is not None and all(COMPARISONS[name](found, bound) for name, bound in self.bounds)
        except TypeError:
            # The payload breaks its schema.
            return False

    def __str__(self) -> str:
        words = {"gt": _("more than"), "gte": _("at least"), "lt": _("less than"), "lte": _("at most")}
        bounds = _(" and ").join(f"{words[name]} {bound}" for name, bound in self.bounds)
        return _("%(path)s is %(bounds)s") % {"path": self.path, "bounds": bounds}


@dataclass(frozen=True)
class HasValue(Node):
    """A path has a value, or it has none."""

    path: str
    expected: bool

    def holds(self, event: Mapping[str, Any]) -> bool:
        return (value_at(event, self.path) not in (None, [])) is self.expected

    def __str__(self) -> str:
        sentence = _("%(path)s has a value") if self.expected else _("%(path)s has no value")
        return sentence % {"path": self.path}


def in_words(values: tuple[Any, ...]) -> str:
    """Return values as text for people: the first five, and the number of the others."""
    shown = [_("nothing") if value is None else _word(value) for value in values[:5]]
    more = [_("%(count)d others") % {"count": len(values) - 5}] if len(values) > 5 else []
    return _(" or ").join([*shown, *more])


def _word(value: Any) -> str:
    return str(*value).lower() if isinstance(value, tuple) else str(value)


def comparable(kind: FieldKind | None, value: Any) -> Any:
    """Return a value for a comparison: the ids 301 and "301" are equal, and true does not equal 1, unlike in Python."""
    if kind in (FieldKind.ID, FieldKind.IDS) and value is not None:
        return str(value)
    return (value,) if isinstance(value, bool) else value


def _join(parts: tuple[Node, ...], word: str) -> str:
    if len(parts) == 1:
        return str(parts[0])
    return f" {word} ".join(f"({part})" if isinstance(part, AllOf | AnyOf) else str(part) for part in parts)
