"""A condition as a tree of nodes, and matching an event against it.

A condition names paths in an event and the values expected there; ``all``, ``any`` and ``not`` combine conditions. It
can't run code or loop. However long its lists of values are, a comparison takes the same time: both sides are sets.
"""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
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


class EventValues:
    """The values in the body of an event. Each path is read once, however many conditions compare it."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body
        self._values: dict[str, Any] = {}
        self._comparables: dict[tuple[str, FieldKind | None], frozenset[Any]] = {}

    def at(self, path: str) -> Any:
        """Return the value at a path, or None."""
        if path not in self._values:
            self._values[path] = value_at(self._body, path)
        return self._values[path]

    def comparables(self, path: str, kind: FieldKind | None) -> frozenset[Any]:
        """Return the value at a path, or the items of a list there, each as `comparable` makes it."""
        key = (path, kind)
        if key not in self._comparables:
            found = self.at(path)
            items = found if isinstance(found, list) else [found]
            self._comparables[key] = hashable(comparable(kind, item) for item in items)
        return self._comparables[key]


class Node(ABC):
    """A condition, or a part of it."""

    @abstractmethod
    def holds(self, event: EventValues) -> bool:
        """Return whether an event meets the condition."""

    @abstractmethod
    def paths(self) -> Iterable[str]:
        """Return the paths that the condition reads."""

    @abstractmethod
    def __str__(self) -> str:
        """Return the condition as text for people. It contains no values of events."""


@dataclass(frozen=True)
class AllOf(Node):
    """All parts hold."""

    parts: tuple[Node, ...]

    def holds(self, event: EventValues) -> bool:
        return all(part.holds(event) for part in self.parts)

    def paths(self) -> Iterable[str]:
        return chain.from_iterable(part.paths() for part in self.parts)

    def __str__(self) -> str:
        return _join(self.parts, _("and"))


@dataclass(frozen=True)
class AnyOf(Node):
    """At least one part holds."""

    parts: tuple[Node, ...]

    def holds(self, event: EventValues) -> bool:
        return any(part.holds(event) for part in self.parts)

    def paths(self) -> Iterable[str]:
        return chain.from_iterable(part.paths() for part in self.parts)

    def __str__(self) -> str:
        return _join(self.parts, _("or"))


@dataclass(frozen=True)
class Negation(Node):
    """The part does not hold."""

    part: Node

    def holds(self, event: EventValues) -> bool:
        return not self.part.holds(event)

    def paths(self) -> Iterable[str]:
        return self.part.paths()

    def __str__(self) -> str:
        return _("not (%(part)s)") % {"part": self.part}


@dataclass(frozen=True)
class OneOf(Node):
    """The value at a path is one of these values; of a list, at least one item is."""

    path: str
    kind: FieldKind | None
    values: tuple[Any, ...]

    @cached_property
    def accepted(self) -> frozenset[Any]:
        """The values as a set."""
        return frozenset(self.values)

    def holds(self, event: EventValues) -> bool:
        return not self.accepted.isdisjoint(event.comparables(self.path, self.kind))

    def paths(self) -> Iterable[str]:
        return (self.path,)

    def __str__(self) -> str:
        return _("%(path)s is %(values)s") % {"path": self.path, "values": in_words(self.values)}


@dataclass(frozen=True)
class InRange(Node):
    """The value at a path is a number or a time within these bounds."""

    path: str
    kind: FieldKind | None
    bounds: tuple[tuple[str, Any], ...]

    def holds(self, event: EventValues) -> bool:
        found = event.at(self.path)
        try:
            return found is not None and all(COMPARISONS[name](found, bound) for name, bound in self.bounds)
        except TypeError:
            # The payload breaks its schema.
            return False

    def paths(self) -> Iterable[str]:
        return (self.path,)

    def __str__(self) -> str:
        words = {"gt": _("more than"), "gte": _("at least"), "lt": _("less than"), "lte": _("at most")}
        bounds = _(" and ").join(f"{words[name]} {bound}" for name, bound in self.bounds)
        return _("%(path)s is %(bounds)s") % {"path": self.path, "bounds": bounds}


@dataclass(frozen=True)
class HasValue(Node):
    """A path has a value, or it has none."""

    path: str
    expected: bool

    def holds(self, event: EventValues) -> bool:
        return (event.at(self.path) not in (None, [])) is self.expected

    def paths(self) -> Iterable[str]:
        return (self.path,)

    def __str__(self) -> str:
        sentence = _("%(path)s has a value") if self.expected else _("%(path)s has no value")
        return sentence % {"path": self.path}


def part_about(node: Node, keeps: Callable[[str], bool]) -> Node | None:
    """Return the part of a condition about paths that ``keeps`` accepts; None if nothing of it is left.

    Other comparisons are left open: an event meets the result if it meets the condition for some value at these paths.
    """
    if isinstance(node, AllOf):
        parts = tuple(part for part in (part_about(one, keeps) for one in node.parts) if part is not None)
        return AllOf(parts) if parts else None
    if isinstance(node, AnyOf):
        alternatives = [part_about(one, keeps) for one in node.parts]
        known = tuple(part for part in alternatives if part is not None)
        return AnyOf(known) if len(known) == len(alternatives) else None
    # Of a negation either all is known, or nothing can be said.
    return node if all(keeps(path) for path in node.paths()) else None


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


def hashable(values: Iterable[Any]) -> frozenset[Any]:
    """Return the values as a set, without objects and lists, which equal no accepted value."""
    return frozenset(value for value in values if not isinstance(value, dict | list))


def _join(parts: tuple[Node, ...], word: str) -> str:
    if len(parts) == 1:
        return str(parts[0])
    return f" {word} ".join(f"({part})" if isinstance(part, AllOf | AnyOf) else str(part) for part in parts)
