"""Values that a source makes of several paths, or without one: `Computed`, `First`, `Not`, `Constant`.

A settings module may import them, for ``ORGANIZATION_FIELDS``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from django.core.exceptions import ObjectDoesNotExist
from django.db import models


class Expression(ABC):
    """A value made of the values at some paths. An entry of `Source.fields` may be one."""

    paths: tuple[str, ...] = ()

    @abstractmethod
    def value(self, values: Sequence[Any]) -> Any:
        """Return the value, given the values at `paths`."""

    def under(self, base: str) -> Expression:
        """Return the same for an object at the path ``base``."""
        raise NotImplementedError

    def read(self, instance: models.Model) -> Any:
        """Return the value for ``instance``, by following the paths in Python."""
        return self.value([follow_value(instance, path) for path in self.paths])


@dataclass(frozen=True, init=False)
class First(Expression):
    """The first of these paths that leads to a value: ``First("branch.company", "company")``."""

    paths: tuple[str, ...]

    def __init__(self, *paths: str) -> None:
        object.__setattr__(self, "paths", paths)

    def __str__(self) -> str:
        return f"First({', '.join(map(repr, self.paths))})"

    def value(self, values: Sequence[Any]) -> Any:
        return next((one for one in values if one is not None), None)

    def under(self, base: str) -> First:
        return First(*(f"{base}.{path}" for path in self.paths))


@dataclass(frozen=True)
class Not(Expression):
    """The opposite of a boolean at a path: ``"disabled": Not("is_active")``. Null stays null.

    In `Source.only`, it is any value but this one, or but those in a list: ``only = {"user": Not(None)}``.
    """

    path: Any

    def __str__(self) -> str:
        return f"Not({self.path!r})"

    @property
    def paths(self) -> tuple[str, ...]:  # type: ignore[override]
        return (self.path,)

    def value(self, values: Sequence[Any]) -> Any:
        (value,) = values
        return None if value is None else not value

    def under(self, base: str) -> Not:
        return Not(f"{base}.{self.path}")


@dataclass(frozen=True)
class Constant(Expression):
    """The same value for each object: ``"status": Constant("Enroll")``."""

    constant: Any

    def __str__(self) -> str:
        return f"Constant({self.constant!r})"

    def value(self, values: Sequence[Any]) -> Any:
        return self.constant

    def under(self, base: str) -> Constant:
        return self


@dataclass(frozen=True, init=False)
class Computed(Expression):
    """The result of a function: ``Computed(status_of, reads={"active": "is_active", "words": "tags.word"})``.

    - ``function``: takes the values in ``reads``, by their names there. Or the path to a property of the model, which is
      compared when what it reads changes. Without a function, `Source.events_for` adds the value
    - ``reads``: names of other fields of the noun, or attribute paths to columns, also of lists: a dictionary by names of
      your choice. They are complete before and after a change
    """

    function: Callable[..., Any] | str | None
    reads: Mapping[str, str]

    def __init__(
        self, function: Callable[..., Any] | str | None = None, *, reads: Mapping[str, str] | None = None
    ) -> None:
        object.__setattr__(self, "function", function)
        object.__setattr__(self, "reads", reads or {})

    def __str__(self) -> str:
        return f"Computed({getattr(self.function, '__name__', self.function or '')})"

    @property
    def paths(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(self.reads.values())

    def value(self, values: Sequence[Any]) -> Any:
        return self.function(**dict(zip(self.reads, values, strict=True))) if callable(self.function) else None


@dataclass(frozen=True)
class OfFirst(Expression):
    """The value at ``rest`` of the first object that one of these paths leads to, also where it is null."""

    bases: tuple[str, ...]
    rest: Path

    @property
    def paths(self) -> tuple[str, ...]:  # type: ignore[override]
        return (*(f"{base}.pk" for base in self.bases), *(path for base in self.bases for path in self._paths(base)))

    def _paths(self, base: str) -> tuple[str, ...]:
        return (f"{base}.{self.rest}",) if isinstance(self.rest, str) else self.rest.under(base).paths

    def value(self, values: Sequence[Any]) -> Any:
        keys, others = values[: len(self.bases)], values[len(self.bases) :]
        each = len(others) // len(self.bases)
        for number, key in enumerate(keys):
            if key is not None:
                own = others[number * each : (number + 1) * each]
                return own[0] if isinstance(self.rest, str) else self.rest.value(own)
        return None

    def under(self, base: str) -> OfFirst:
        return OfFirst(tuple(f"{base}.{path}" for path in self.bases), self.rest)


@dataclass(frozen=True)
class Function(Expression):
    """The result of a function of the host's that takes an object, or the value at a path that begins at the result.

    Such a value is known after a change only, so that a change of it alone is no event. An object's organizations are
    read before it, too.
    """

    function: Callable[[Any], Any]
    base: str = ""
    rest: Path = ""

    def __str__(self) -> str:
        return getattr(self.function, "__qualname__", repr(self.function))

    def value(self, values: Sequence[Any]) -> Any:
        raise TypeError("A function reads an object.")

    def under(self, base: str) -> Function:
        return Function(self.function, f"{base}.{self.base}" if self.base else base, self.rest)

    def read(self, instance: models.Model) -> Any:
        """Return the function's result for ``instance``; a result that is not an object has only a key: itself."""
        subject = follow_value(instance, self.base) if self.base else instance
        result = None if subject is None else self.function(subject)
        if not self.rest or result is None:
            return result
        if isinstance(result, models.Model):
            return follow_value(result, self.rest)
        return result if self.rest == "pk" else None


Path: TypeAlias = str | Expression
"""How a source names a value: an attribute path, or a value that is computed."""


def as_path(declared: Any) -> Path:
    """Return a declared path; a function of the host's becomes a `Function`."""
    return Function(declared) if callable(declared) and not isinstance(declared, Expression) else declared


def joined(base: Path, rest: Path) -> Path | None:
    """Return the path that begins at the object at ``base``, and continues with ``rest``; None for a value that a function makes.

    The base ``pk`` is the object itself.
    """
    if base == "pk":
        return rest
    if isinstance(rest, Computed):
        # Its function reads fields of the object itself; a property is found from everywhere.
        return joined(base, rest.function) if isinstance(rest.function, str) else None
    if isinstance(base, str):
        return f"{base}.{rest}" if isinstance(rest, str) else rest.under(base)
    if isinstance(base, First) and rest == "pk":
        return First(*(f"{path}.pk" for path in base.paths))
    if isinstance(base, First):
        # Not the first value: that may be one of another organization.
        return Function(base.read, rest=rest) if isinstance(rest, Function) else OfFirst(base.paths, rest)
    if isinstance(base, Function):
        return replace(base, rest=(joined(base.rest, rest) or "") if base.rest else rest)
    return Constant(None)


def follow_value(instance: Any, path: Path) -> Any:
    """Return a computed value, or the one at a path of attributes or keys of dictionaries; None if one on the way is None.

    A method is called.
    """
    if isinstance(path, Expression):
        return path.read(instance)
    value = instance
    for part in path.split("."):
        try:
            value = value.get(part) if isinstance(value, Mapping) else getattr(value, part)
        except ObjectDoesNotExist as error:
            # The reverse side of a one-to-one field without an object: Django's exception is an AttributeError, too.
            if isinstance(error, AttributeError):
                return None
            raise
        if callable(value) and not isinstance(value, models.Manager):
            value = value()
        if value is None:
            return None
    return value


def follow_all(paths: Sequence[Path], instance: Any) -> Any:
    """Return the objects at several paths, each once; a path may lead to many. A single path that leads to a value of another kind keeps it."""
    values = [follow_value(instance, path) for path in paths]
    if len(values) == 1:
        return values[0]
    lists = (value.all() if isinstance(value, models.Manager) else value for value in values)
    objects = [one for found in lists for one in (found if isinstance(found, Iterable) else (found,))]
    return list(dict.fromkeys(one for one in objects if one is not None))


def follow_value_or_none(instance: Any, path: Path) -> Any:
    """Return what `follow_value` does; None if the path can't be followed."""
    try:
        return follow_value(instance, path)
    except (AttributeError, ObjectDoesNotExist):
        return None
