"""A condition as a tree, and whether an event meets it.

A condition names places in an event and what has to stand there; ``all``, ``any`` and ``not`` join conditions. There
is nothing in it that runs code, that repeats, or that takes longer than one look at each place that it names.
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

COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


class Node(ABC):
    """A condition, or a part of one."""

    @abstractmethod
    def holds(self, event: Mapping[str, Any]) -> bool:
        """Return whether a whole event meets it."""

    @abstractmethod
    def __str__(self) -> str:
        """Return what it asks for, in words. It holds nothing of any event."""


@dataclass(frozen=True)
class AllOf(Node):
    """Every part has to hold."""

    parts: tuple[Node, ...]

    def holds(self, event: Mapping[str, Any]) -> bool:
        return all(part.holds(event) for part in self.parts)

    def __str__(self) -> str:
        return _join(self.parts, _("and"))


@dataclass(frozen=True)
class AnyOf(Node):
    """At least one part has to hold."""

    parts: tuple[Node, ...]

    def holds(self, event: Mapping[str, Any]) -> bool:
        return any(part.holds(event) for part in self.parts)

    def __str__(self) -> str:
        return _join(self.parts, _("or"))


@dataclass(frozen=True)
class Negation(Node):
    """The part must not hold."""

    part: Node

    def holds(self, event: Mapping[str, Any]) -> bool:
        return not self.part.holds(event)

    def __str__(self) -> str:
        return _("not (%(part)s)") % {"part": self.part}


@dataclass(frozen=True)
class OneOf(Node):
    """A place holds one of these values; of a list there, one of its own is enough."""

    path: str
    kind: FieldKind | None
    values: tuple[Any, ...]

    def holds(self, event: Mapping[str, Any]) -> bool:
        found = value_at(event, self.path)
        several = found if isinstance(found, list) else [found]
        return any(comparable(self.kind, one) in self.values for one in several)

    def __str__(self) -> str:
        return _("%(path)s is %(values)s") % {"path": self.path, "values": in_words(self.values)}


@dataclass(frozen=True)
class InRange(Node):
    """A place holds a number or a time within these bounds."""

    path: str
    kind: FieldKind | None
    bounds: tuple[tuple[str, Any], ...]

    def holds(self, event: Mapping[str, Any]) -> bool:
        found = value_at(event, self.path)
        try:
            return found is not None and all(COMPARISONS[name](found, bound) for name, bound in self.bounds)
        except TypeError:
            # A payload that is not as its schema says.
            return False

    def __str__(self) -> str:
        words = {"gt": _("more than"), "gte": _("at least"), "lt": _("less than"), "lte": _("at most")}
        bounds = _(" and ").join(f"{words[name]} {bound}" for name, bound in self.bounds)
        return _("%(path)s is %(bounds)s") % {"path": self.path, "bounds": bounds}


@dataclass(frozen=True)
class Exists(Node):
    """A place holds something, or nothing."""

    path: str
    expected: bool

    def holds(self, event: Mapping[str, Any]) -> bool:
        return (value_at(event, self.path) not in (None, [])) is self.expected

    def __str__(self) -> str:
        sentence = _("%(path)s has a value") if self.expected else _("%(path)s has no value")
        return sentence % {"path": self.path}


def in_words(values: tuple[Any, ...]) -> str:
    """Return values as a list in words, as far as a person reads one."""
    shown = [_("nothing") if value is None else _word(value) for value in values[:5]]
    more = [_("%(count)d others") % {"count": len(values) - 5}] if len(values) > 5 else []
    return _(" or ").join([*shown, *more])


def _word(value: Any) -> str:
    return str(*value).lower() if isinstance(value, tuple) else str(value)


def comparable(kind: FieldKind | None, value: Any) -> Any:
    """Return a value as it is compared: of ids 301 and "301" are one, and true is not 1, as Python has it."""
    if kind in (FieldKind.ID, FieldKind.IDS) and value is not None:
        return str(value)
    return (value,) if isinstance(value, bool) else value


def _join(parts: tuple[Node, ...], word: str) -> str:
    if len(parts) == 1:
        return str(parts[0])
    return f" {word} ".join(f"({part})" if isinstance(part, AllOf | AnyOf) else str(part) for part in parts)
