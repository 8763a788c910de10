"""Checks of the host's own fields (``custom``) and of the samples of its own event types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.checks import CheckMessage

from tms_webhooks import catalogue
from tms_webhooks.catalogue.custom import ROOT, CustomField
from tms_webhooks.catalogue.samples import sample_value
from tms_webhooks.catalogue.schema import Field, field_schema
from tms_webhooks.catalogue.types import BUILT_IN
from tms_webhooks.checks.fields import refuse_path
from tms_webhooks.checks.messages import message, shorten
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.sources.aggregates import list_relation
from tms_webhooks.sources.base import Source
from tms_webhooks.sources.paths import broken_path
from tms_webhooks.sources.registry import all_sources


def check(source: Source) -> Iterator[CheckMessage]:
    """Yield problems with the fields of the host's own in one source."""
    broken = set()
    for name, path in source.declared.paths.items():
        if path or name not in source.supplies():
            found = broken_path(source.model, path)
            if found is not None and list_relation(source.model, path) is None:
                broken.add(name)
                yield refuse_path(source, f"custom[{_own_name(name)!r}]", path, found, remove="remove the entry")
    for problem in source.declared.problems:
        if not problem.without_kind:
            yield _wrong_entry(source, problem.text, problem.remedy)
        elif problem.without_kind not in broken:
            # One message per mistake: a path that does not exist has no kind either.
            yield message("E081", problem.text, hint=problem.remedy, obj=source)
    taken = _names_of_noun(source)
    for one in source.declared.fields:
        if one.name in taken or ROOT in taken:
            yield _shadows(source, one.name, is_root=one.name not in taken)
        yield from _check_twins(source, one)


def check_samples(**_kwargs: Any) -> list[CheckMessage]:
    """Report samples that break the schemas of the host's own fields and event types. Documents and the preview show them."""
    return [*(problem for source in all_sources() for problem in _check_sample_values(source)), *_check_event_samples()]


def _check_sample_values(source: Source) -> Iterator[CheckMessage]:
    for one in source.declared.fields:
        usual = sample_value(one.field)
        if one.sample != usual and not _is_valid(one.sample, one.field):
            text = f"custom[{one.name!r}] has the sample {shorten(one.sample)}, which is no {one.field.kind}."
            yield _wrong_entry(source, text, f"Write a value as it is in the payload, such as {usual!r}.")


def _wrong_entry(source: Source, text: str, remedy: str) -> CheckMessage:
    return message("E080", text, hint=remedy, obj=source)


def _is_valid(sample: Any, field: Field) -> bool:
    # Imported here: few projects declare samples, and all import this module.
    from jsonschema import Draft202012Validator

    return bool(Draft202012Validator(field_schema(field, nullable=True)).is_valid(sample))


def _check_event_samples() -> list[CheckMessage]:
    own = [one for one in catalogue.all_types() if one not in BUILT_IN and not one.is_snapshot]
    problems = {event_type.name: problem for event_type in own if (problem := _sample_problem(event_type))}
    return [
        message(
            "W084",
            f"The sample of the event type {name!r} breaks its schema: {problem}",
            hint="Correct `sample` and `sample_previous`, or leave them out to get values made from the fields.",
        )
        for name, problem in problems.items()
    ]


def _sample_problem(event_type: catalogue.EventType) -> str:
    try:
        event_type.validate(event_type.example())
    except PayloadError as error:
        return str(error).partition(": ")[2]
    return ""


def _names_of_noun(source: Source) -> set[str]:
    """Return the names on the top level of ``data`` that the noun and its event types use."""
    members = catalogue.grouped().get(source.noun.name, ())
    fields = [*source.noun.fields, *(field for event_type in members for field in event_type.extra)]
    return {field.name.partition(".")[0] for field in fields}


def _shadows(source: Source, name: str, *, is_root: bool) -> CheckMessage:
    noun, path = source.noun.name, source.declared.paths[f"{ROOT}.{name}"]
    if is_root:
        text = f"custom[{name!r}] can't be sent: the noun {noun!r} has a field {ROOT!r} of its own."
        remedy = f"Rename the field {ROOT!r} of the noun, or add this field to the noun."
    else:
        both = f"data.{name} and data.{ROOT}.{name}"
        text = f"custom[{name!r}] has the name of a field of the noun {noun!r}: receivers would confuse {both}."
        remedy = f'If it is that field, map it: fields = {{"{name}": "{path}"}}. Otherwise give it another name.'
    return message("E082", text, hint=remedy, obj=source)


def _check_twins(source: Source, one: CustomField) -> Iterator[CheckMessage]:
    """Refuse a field that an earlier source of the noun declares with another kind or privacy."""
    others = all_sources()
    for other in others[: others.index(source)]:
        for twin in other.declared.fields if other.noun.name == source.noun.name else ():
            differs = (twin.field.kind, twin.field.privacy) != (one.field.kind, one.field.privacy)
            if twin.field.name == one.field.name and differs:
                yield message(
                    "E083",
                    f"custom[{one.name!r}] is {one.field.kind}, {one.field.privacy} here, but {twin.field.kind}, "
                    f"{twin.field.privacy} in {other!r}: the events of {source.noun.name!r} have one schema.",
                    hint="Give both the same kind and privacy, or rename one of them.",
                    obj=source,
                )
                return


def _own_name(name: str) -> str:
    return name.partition(".")[2]
