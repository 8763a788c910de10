"""Checks of the names of a source's attributes: Python accepts a misspelled one, which has no effect."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Iterator
from functools import cached_property
from types import FunctionType
from typing import Any

from django.core.checks import CheckMessage

from tms_webhooks.checks.fields import OWN_PACKAGE
from tms_webhooks.checks.messages import message
from tms_webhooks.event_names import did_you_mean
from tms_webhooks.sources.base import Source

OVERRIDDEN = ("derived", "supplies", "events_for", "lock_order", "open_rows", "is_open", "is_reopened", "paths_with")
"""The methods that a host may override."""
OWNERS = ("organization", "organizations", "learner_organization")
"""The attributes that may be methods."""
HELPERS = (FunctionType, staticmethod, classmethod, property, cached_property)

NEAR = 0.85
"""The least `difflib` ratio of a misspelled name. `status` has 0.857 of `statuses`."""


def check(source: Source) -> Iterator[CheckMessage]:
    """Warn of attributes of a host's class whose names resemble those of a source, and that no base class has.

    A helper of the host's is compared only with the methods of a source, and with the owners, which may be methods.
    """
    known = _attributes(type(source))
    for base, name, value in _added(type(source), known):
        similar = _similar(name, (*OVERRIDDEN, *OWNERS) if isinstance(value, HELPERS) else (*known, *OVERRIDDEN))
        if similar:
            yield message(
                "W089",
                f"{base.__name__} has the attribute {name!r}, which sources do not read.",
                hint=f"Correct the name. If it is a helper of your own, give it another name.{did_you_mean(similar)}",
                obj=source,
            )


def _attributes(source_class: type[Source]) -> list[str]:
    """Return the names of the attributes that the app's classes declare for a host to set."""
    names = [name for base in _bases(source_class, own=True) for name in inspect.get_annotations(base)]
    return [name for name in dict.fromkeys(names) if not name.startswith("_")]


def _added(source_class: type[Source], known: list[str]) -> Iterator[tuple[type, str, Any]]:
    """Yield the public attributes of the host's classes that no base class defines, with their class and value.

    A value that replaces a method of the app's, such as `Source.status`, is one of them.
    """
    for base in _bases(source_class, own=False):
        for name, value in vars(base).items():
            if name.startswith("_") or name in (*known, *OVERRIDDEN):
                continue
            defining = [one for one in base.__mro__[1:] if name in vars(one)]
            is_method = defining == [Source] and isinstance(vars(Source)[name], FunctionType)
            if not defining or (is_method and not isinstance(value, HELPERS)):
                yield base, name, value


def _bases(source_class: type[Source], *, own: bool) -> list[type]:
    """Return the bases of a class that are the app's ``own``, or those that are the host's."""
    return [base for base in source_class.__mro__ if base.__module__.startswith(OWN_PACKAGE) is own]


def _similar(name: str, known: Iterable[str]) -> list[str]:
    """Return a list with the known name that a name may misspell, or an empty list."""
    # `organization_of` is a helper's name: it has a word more.
    names = [one for one in known if one.count("_") >= name.count("_")]
    swapped = [one for one in names if sorted(one) == sorted(name)]
    return swapped or difflib.get_close_matches(name, names, n=1, cutoff=NEAR)
