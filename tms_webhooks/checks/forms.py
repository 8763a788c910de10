"""Checks of the types of a source's attributes, on which the other checks rely."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from django.core.checks import CheckMessage

from tms_webhooks.catalogue.schema import Noun
from tms_webhooks.checks.messages import message, shorten
from tms_webhooks.computed import Computed, First
from tms_webhooks.exceptions import ConfigurationError
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.deadlines import ClosedWhen, Deadline
from tms_webhooks.sources.mapping import merged_fields
from tms_webhooks.sources.rules import Rule


def check(source: Source) -> Iterator[CheckMessage]:
    """Yield the attributes of a source that have the wrong type."""
    for problem, remedy in wrong_forms(source):
        yield message("E030", problem, hint=remedy, obj=source)


def wrong_forms(source: Any) -> Iterator[tuple[str, str]]:
    """Yield pairs of a problem and its remedy. Assume nothing about ``source``: a host wrote it."""
    if not isinstance(source.noun, Noun):
        yield f"noun is {shorten(source.noun)}, not a Noun.", "Set a Noun, or extend the source class of a known noun."
    if source.time_zone is not None and not (source.time_zone and isinstance(source.time_zone, str)):
        yield (
            f"time_zone is {source.time_zone!r}, not a path.",
            'Write a path such as time_zone = "organization.time_zone", or None.',
        )
    if source.deadline is not None and not isinstance(source.deadline, Deadline):
        yield f"deadline is {shorten(source.deadline)}, not a Deadline.", "Set a Deadline or None."
    if not isinstance(source.closed_when, ClosedWhen):
        yield (
            f"closed_when is {shorten(source.closed_when)}, not a ClosedWhen.",
            'Write closed_when = ClosedWhen(filled=("ended_at",)).',
        )
    if not isinstance(source.reconcile, bool):
        yield f"reconcile is {shorten(source.reconcile)}, not True or False.", "Write reconcile = True."
    yield from _wrong_owners(source)
    yield from _wrong_rules(source)
    yield from _wrong_mappings(source)


def _wrong_owners(source: Any) -> Iterator[tuple[str, str]]:
    if not source.organization or not _is_path(source.organization):
        yield f"organization is {source.organization!r}, not a path.", 'Write organization = "course.organization".'
    if source.organizations is not None and not (source.organizations and _is_path(source.organizations)):
        yield f"organizations is {source.organizations!r}, not a path.", 'Write organizations = "course.organizations".'
    if source.learner_organization is not None and not _is_path(source.learner_organization):
        yield f"learner_organization is {source.learner_organization!r}, not a path.", "Write a path or None."
    for name, example in (("only", '{"role": "learner"}'), ("reads", '{"words": "tags.word"}')):
        declared = getattr(source, name)
        if not isinstance(declared, Mapping) or not all(isinstance(one, str) for one in declared):
            yield f"{name} is {shorten(declared)}, not a dictionary with text as keys.", f"Write {name} = {example}."


def _is_path(declared: Any) -> bool:
    return isinstance(declared, str | First) or (callable(declared) and not isinstance(declared, type))


def _wrong_rules(source: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(source.rules, list | tuple) or not all(isinstance(rule, Rule) for rule in source.rules):
        yield f"rules is {shorten(source.rules)}, not a tuple of rules.", 'Write rules = (Created("noun.created"),).'
        return
    for rule in source.rules:
        try:
            sound = all(isinstance(name, str) for name in rule.event_types)
        except (AttributeError, TypeError):
            sound = False
        if not sound:
            yield f"the rule {shorten(rule)} names no events.", 'Name its events, as in Created("noun.created").'


def _wrong_mappings(source: Any) -> Iterator[tuple[str, str]]:
    try:
        paths, mappings = merged_fields(type(source)), merged_fields(type(source), "statuses")
    except ConfigurationError as error:
        yield str(error), 'Write fields = {"name": "title"} and statuses = {"status": {"open": 0}}.'
        return
    for name, path in paths.items():
        if not isinstance(path, str | Computed):
            yield f"fields[{name!r}] is {shorten(path)}, not a path.", 'Write "attribute" or "relation.attribute".'
    for name, mapping in mappings.items():
        if not isinstance(mapping, Mapping):
            remedy = "Write a dictionary from the model's values to status numbers or names."
            yield f"statuses[{name!r}] is {shorten(mapping)}, not a dictionary.", remedy
