"""The form of a source's attributes, on which the other checks rely, and names that look like misspelled ones."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from types import FunctionType
from typing import Any

from tms_webhooks.catalogue.schema import Noun
from tms_webhooks.checks.messages import shorten
from tms_webhooks.computed import Computed, Expression, First
from tms_webhooks.event_names import did_you_mean
from tms_webhooks.exceptions import DeclarationError
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.deadlines import ClosedWhen, Deadline
from tms_webhooks.sources.mapping import OWN_PACKAGE, merged_fields
from tms_webhooks.sources.rules import Rule

OVERRIDDEN = ("events_for", "is_open", "is_reopened", "paths_with")
"""The methods that a host may override."""
OWNERS = ("owner", "learner")
"""The attributes that may be methods."""
HELPERS = (FunctionType, staticmethod, classmethod, property, cached_property)

RENAMED = {
    "organization": 'owner = "organization"',
    "organizations": 'owner = "course.organizations"',
    "learner_organization": 'learner = "user.organization"',
    **dict.fromkeys(
        ("derived", "supplies", "reads"), 'fields = {"status": Computed(status_of, reads={"words": "tags.word"})}'
    ),
}
"""What replaces an attribute of earlier versions."""

NEAR = 0.85
"""The least `difflib` ratio of a misspelled name. `status` has 0.857 of `statuses`."""


def _is_path(value: Any) -> bool:
    return bool(value) and (isinstance(value, str | First) or (callable(value) and not isinstance(value, type)))


def _has_text_keys(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


FORMS: tuple[tuple[str, Callable[[Any], bool], str, str], ...] = (
    (
        "noun",
        lambda value: isinstance(value, Noun),
        "a Noun",
        "Set a Noun, or extend the source class of a known noun.",
    ),
    (
        "time_zone",
        lambda value: value is None or bool(value) and isinstance(value, str),
        "a path",
        'Write a path such as time_zone = "organization.time_zone", or None.',
    ),
    ("deadline", lambda value: isinstance(value, Deadline | None), "a Deadline", "Set a Deadline or None."),
    (
        "closed_when",
        lambda value: isinstance(value, ClosedWhen),
        "a ClosedWhen",
        'Write closed_when = ClosedWhen(filled=("ended_at",)).',
    ),
    ("reconcile", lambda value: isinstance(value, bool), "True or False", "Write reconcile = True."),
    (
        "owner",
        lambda value: bool(value) and all(map(_is_path, value if isinstance(value, list | tuple) else [value])),
        "a path",
        'Write owner = "course.organization".',
    ),
    (
        "learner",
        lambda value: value is None or _is_path(value),
        "a path",
        "Write a path or None.",
    ),
    ("only", _has_text_keys, "a dictionary with text as keys", 'Write only = {"role": "learner"}.'),
    (
        "rules",
        lambda value: isinstance(value, list | tuple) and all(isinstance(rule, Rule) for rule in value),
        "a tuple of rules",
        'Write rules = (Created("noun.created"),).',
    ),
)
"""Attributes of a source: whether a value has the right form, the name of that, and the remedy."""


def wrong_forms(source: Any) -> list[DeclarationError]:
    """Return the attributes of a source that have a wrong form. Assume nothing about it: a host wrote it."""
    found = [
        DeclarationError("E030", f"{name} is {shorten(getattr(source, name))}, not {expected}.", remedy)
        for name, is_right, expected, remedy in FORMS
        if not is_right(getattr(source, name))
    ]
    if isinstance(source.rules, list | tuple):
        for rule in (one for one in source.rules if isinstance(one, Rule)):
            try:
                names_events = all(isinstance(name, str) for name in rule.event_types)
            except (AttributeError, TypeError):
                names_events = False
            if not names_events:
                problem = f"the rule {shorten(rule)} names no events."
                found.append(DeclarationError("E030", problem, 'Name its events, as in Created("noun.created").'))
    try:
        paths, mappings = merged_fields(type(source)), merged_fields(type(source), "statuses")
    except DeclarationError as error:
        return [*found, error]
    found += [
        DeclarationError(
            "E030",
            f"fields[{name!r}] is {shorten(path)}, not a path.",
            'Write "attribute" or "relation.attribute", or None to leave the field out.',
        )
        for name, path in paths.items()
        if path == "" or not isinstance(path, str | Expression | None)
    ]
    found += [
        DeclarationError(
            "E030",
            f"fields[{name!r}] is {path}, which can't be called with {shorten(path.reads)}.",
            'Name the arguments of the function: Computed(status_of, reads={"words": "tags.word"}).',
        )
        for name, path in paths.items()
        if isinstance(path, Computed) and not _takes_what_it_reads(path)
    ]
    found += [
        DeclarationError(
            "E030",
            f"statuses[{name!r}] is {shorten(mapping)}, not a dictionary.",
            "Write a dictionary from the model's values to status numbers or names.",
        )
        for name, mapping in mappings.items()
        if not isinstance(mapping, Mapping)
    ]
    return found


def _takes_what_it_reads(made: Computed) -> bool:
    if not _has_text_keys(made.reads) or not isinstance(made.function, str | None) and not callable(made.function):
        return False
    try:
        return not callable(made.function) or bool(inspect.signature(made.function).bind(**made.reads))
    except TypeError:
        return False
    except ValueError:
        return True  # Some functions of C have no signature.


def misspelled(source: Source) -> Iterator[DeclarationError]:
    """Yield attributes of a host's class whose names resemble those of a source, and that no base class has.

    Python accepts a misspelled name, which has no effect. A helper of the host's is compared only with the methods of a
    source, and with the owners, which may be methods. A value that replaces a method of the app's, such as
    `Source.status`, is misspelled, too.
    """
    own = [base for base in type(source).__mro__ if base.__module__.startswith(OWN_PACKAGE)]
    annotated = [name for base in own for name in inspect.get_annotations(base) if not name.startswith("_")]
    known = [*dict.fromkeys(annotated), *OVERRIDDEN]
    for base in type(source).__mro__:
        for name, value in vars(base).items() if base not in own else ():
            is_helper = isinstance(value, HELPERS)
            inherited = next((vars(one)[name] for one in base.__mro__[1:] if name in vars(one)), None)
            is_new = inherited is None or (isinstance(inherited, FunctionType) and not is_helper)
            if name.startswith("_") or name in known or not is_new:
                continue
            # `organization_of` is a helper's name: it has a word more.
            of_sources = (*OVERRIDDEN, *OWNERS) if is_helper else known
            names = [one for one in of_sources if one.count("_") >= name.count("_")]
            swapped = [one for one in names if sorted(one) == sorted(name)]
            similar = swapped or difflib.get_close_matches(name, names, n=1, cutoff=NEAR)
            if name in RENAMED or similar:
                remedy = f"Write {RENAMED[name]}." if name in RENAMED else "Correct the name."
                question = "" if name in RENAMED else did_you_mean(similar)
                yield DeclarationError(
                    "W089",
                    f"{base.__name__} has the attribute {name!r}, which sources do not read.",
                    f"{remedy} If it is a helper of your own, give it another name.{question}",
                )
