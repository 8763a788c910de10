"""One type of event: its name, what its payload holds, and a sample that proves it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from tms_webhooks.catalogue.schema import Field, JSONSchema, Noun, envelope_schema, refuse_conflicts
from tms_webhooks.choices import ActorKind
from tms_webhooks.exceptions import ConfigurationError, PayloadError

SAMPLE_ID = "evt_0123456789abcdef0123456789abcdef"
SAMPLE_TIMESTAMP = "2026-11-24T15:04:05.123Z"
SAMPLE_ORGANIZATION: Mapping[str, Any] = {"id": 12, "external_id": "ACME-EU"}
SAMPLE_SEQUENCE = 3
SAMPLE_ACTOR_ID = "7"

_MOST_REASONS = 3


# Two types are equal only if they are one: the registry holds one of each name, and identity makes them keys of a cache.
@dataclass(frozen=True, slots=True, eq=False)
class EventType:
    """A type of event that organizations can subscribe to.

    ``name`` is "noun.verb_in_the_past"; ``summary`` is one sentence for people; ``sample`` is the ``data`` of an example
    and ``sample_previous`` its old values, both nested. ``extra`` are fields that only this type has, ``needs`` the names
    of optional fields of the noun without which this type would say nothing. Raise ``version`` only for a change that
    breaks a receiver; adding a field doesn't. A ``deprecated`` type is told still, and nobody should begin to want it.
    """

    name: str
    noun: Noun
    summary: str
    sample: Mapping[str, Any]
    sample_previous: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    extra: tuple[Field, ...] = ()
    needs: tuple[str, ...] = ()
    sample_actor: ActorKind = ActorKind.ADMINISTRATOR
    deprecated: bool = False

    def __post_init__(self) -> None:
        refuse_conflicts((*self.noun.fields, *self.extra), owner=f'event type "{self.name}"')
        for name in self.needs:
            if name not in {item.name for item in self.noun.fields}:
                raise ConfigurationError(f'Event type "{self.name}" needs the field "{name}", which its noun has not.')

    @property
    def fields(self) -> tuple[Field, ...]:
        """All fields of ``data``, in the order in which payloads write them; required ones as this type requires them."""
        return _fields(self)

    def schema(self) -> Mapping[str, Any]:
        """Return the JSON Schema (draft 2020-12) of the whole envelope. It is built once: copy it before changing it."""
        return _schema(self)

    def example(self) -> dict[str, Any]:
        """Return a whole sample envelope, always the same one, that is valid against the schema. It is yours to change."""
        actor_id = None if self.sample_actor is ActorKind.SYSTEM else SAMPLE_ACTOR_ID
        return {
            "id": SAMPLE_ID,
            "type": self.name,
            "timestamp": SAMPLE_TIMESTAMP,
            "version": self.version,
            "organization": dict(SAMPLE_ORGANIZATION),
            "sequence": SAMPLE_SEQUENCE,
            "actor": {"kind": self.sample_actor.value, "id": actor_id},
            "data": copy.deepcopy(dict(self.sample)),
            "changed": [item.name for item in self.fields if _holds(self.sample_previous, item.name)],
            "previous": copy.deepcopy(dict(self.sample_previous)),
        }

    def validate(self, envelope: Mapping[str, Any]) -> None:
        """Raise `PayloadError` if a whole envelope breaks the schema.

        The message names the event type, the JSON path and the rule, and never the value: it may be a person's.
        """
        reasons = list(dict.fromkeys(_reasons(_validator(self).iter_errors(envelope))))
        if not reasons:
            return
        more = f" and {len(reasons) - _MOST_REASONS} more" if len(reasons) > _MOST_REASONS else ""
        raise PayloadError(
            f"A payload of {self.name} breaks its schema: {'; '.join(reasons[:_MOST_REASONS])}{more}.",
        )


@cache
def _fields(event_type: EventType) -> tuple[Field, ...]:
    promised = (
        replace(item, required=True) if item.name in event_type.needs else item for item in event_type.noun.fields
    )
    return (*promised, *event_type.extra)


@cache
def _schema(event_type: EventType) -> JSONSchema:
    return envelope_schema(
        event_type.name,
        version=event_type.version,
        title=event_type.noun.title,
        summary=event_type.summary,
        fields=event_type.fields,
    )


@cache
def _validator(event_type: EventType) -> Draft202012Validator:
    return Draft202012Validator(_schema(event_type))


def _holds(nested: Mapping[str, Any], dotted_name: str) -> bool:
    value: Any = nested
    for segment in dotted_name.split("."):
        if not isinstance(value, Mapping) or segment not in value:
            return False
        value = value[segment]
    return True


def _reasons(errors: Iterator[ValidationError]) -> Iterator[str]:
    # `error.message` quotes the value. Everything said here comes from the schema; the path does too, as the schema
    # looks into no property that it doesn't name.
    for error in errors:
        rule: Any = error.validator_value
        if error.validator == "required":
            value: Any = error.instance
            yield from (f"{error.json_path}.{name} is missing (required)" for name in rule if name not in value)
        else:
            yield f"{error.json_path} breaks {error.validator} {json.dumps(rule)}"
