"""`EventType`: the name, the fields, the JSON Schema and a sample of one type of event."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tms_webhooks import event_names
from tms_webhooks.actors import LONGEST_CORRELATION_ID
from tms_webhooks.catalogue import custom
from tms_webhooks.catalogue.schema import (
    DIALECT,
    EVENT_ID_PATTERN,
    OPTIONAL_KEYS,
    TIMESTAMP_PATTERN,
    Field,
    FieldKind,
    JSONSchema,
    Noun,
    data_schema,
    refuse_conflicts,
    refuse_lazy_text,
    schema_id,
)
from tms_webhooks.catalogue.values import has_value, nested, status_value, value_at
from tms_webhooks.choices import ActorKind, FieldPrivacy
from tms_webhooks.exceptions import ConfigurationError, SchemaError

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

# Values that the samples of all nouns share.
_BY_NAME: Mapping[str, Any] = {
    "external_id": "EXT-1001",
    "organization.id": 12,
    "organization.external_id": "ACME-EU",
    "organization.name": "Acme Europe",
    "user.id": 5012,
    "user.external_id": "E-20417",
    "user.first_name": "Alice",
    "user.last_name": "Larsen",
    "user.email": "alice.larsen@example.com",
    "course.id": 301,
    "course.external_id": "AZ-104",
    "course.name": "Azure Administrator",
}
_BY_KIND: Mapping[FieldKind, Any] = {
    FieldKind.ID: 1001,
    FieldKind.IDS: [1001, 1002],
    FieldKind.STRING: "Example",
    FieldKind.INTEGER: 3,
    FieldKind.NUMBER: 2.5,
    FieldKind.BOOLEAN: True,
    FieldKind.DATETIME: "2026-11-24T15:04:05.000Z",
    FieldKind.FINGERPRINT: "5d1f0c9ab27e4418",
    FieldKind.JSON: {"key": "value"},
}


def sample_value(field: Field) -> Any:
    """Return a value of the field's kind, valid by its schema."""
    if field.choices is not None:
        return status_value(next(iter(field.choices)))
    if field.items:
        return [sample_data(field.items)]
    return copy.deepcopy(_BY_NAME.get(field.name, _BY_KIND.get(field.kind)))


def sample_data(fields: Iterable[Field]) -> dict[str, Any]:
    """Return the ``data`` of a sample event with a value for each field, nested by the fields' dotted names."""
    return nested({one.name: sample_value(one) for one in fields})


# The envelope of every sample.
SAMPLE_ID = "evt_0123456789abcdef0123456789abcdef"
SAMPLE_TIMESTAMP = "2026-11-24T15:04:05.123Z"
SAMPLE_ORGANIZATION: Mapping[str, Any] = {"id": 12, "external_id": "ACME-EU"}
SAMPLE_SEQUENCE = 3
SAMPLE_ACTOR_ID = "7"
SAMPLE_DIGEST = "5d1f0c9ab27e44180c7be2f96a3d5e71"

# How many reasons an error message lists.
_MOST_REASONS = 3


# The keys whose schema is the same in all events. Of marks, neither "const" nor "enum": generators of clients write code that
# refuses the constant true.
_ENVELOPE: Mapping[str, JSONSchema] = {
    "id": {
        "type": "string",
        "pattern": EVENT_ID_PATTERN,
        "description": "The event's id, the same in all its deliveries: process an id only once.",
    },
    "timestamp": {
        "type": "string",
        "format": "date-time",
        "pattern": TIMESTAMP_PATTERN,
        "description": "When the event happened, in UTC.",
    },
    "test": {"type": "boolean", "description": "True for a test, which a user sent. Other events lack it."},
    "organization": {
        "type": "object",
        "description": "The organization that the event belongs to.",
        "properties": {"id": {"type": ["integer", "string"]}, "external_id": {"type": ["integer", "string", "null"]}},
        "required": ["id", "external_id"],
    },
    "actor": {
        "type": "object",
        "description": "Who or what caused the event; `id` is that of the user or the API key.",
        "properties": {
            "kind": {"type": "string", "enum": [kind.value for kind in ActorKind]},
            "id": {"type": ["integer", "string", "null"]},
        },
        "required": ["kind", "id"],
    },
    "correlation_id": {
        "type": "string",
        "maxLength": LONGEST_CORRELATION_ID,
        "description": "The id of the request that caused the event, the same in all its events. Absent outside requests.",
    },
    "digest": {
        "type": "string",
        "pattern": "^[0-9a-f]{32}$",
        "description": "The hash of the object, by which you compare your copy. Absent if the object can't be compared.",
    },
    "changed": {
        "type": "array",
        "items": {"type": "string"},
        "uniqueItems": True,
        "description": "Dotted names of the fields in `data` or `details` that changed.",
    },
    "truncated": {
        "type": "boolean",
        "description": "True if the event was too large to send. Its `data` has ids only; the feed has the whole event.",
    },
    "links": {
        "type": "object",
        "description": "A link to the whole event, in `thin` and truncated payloads if the setting `API_URL` is set.",
        "properties": {"event": {"type": "string", "description": "URL of the event."}},
        "required": ["event"],
    },
}


# Compared by identity, so that they can be keys of caches: the registry holds one instance per name.
@dataclass(frozen=True, slots=True, eq=False)
class EventType:
    """A type of event to which a webhook can subscribe.

    - ``name``: "noun.verb_in_the_past"
    - ``noun``: the noun of the event's subject
    - ``summary``: one sentence for people
    - ``sample``, ``sample_details`` and ``sample_previous``: the ``data``, the ``details`` and the old values of an
      example, as nested objects. Without a sample, each field has a value of its kind
    - ``version``: raise it only for a change that breaks receivers; adding a field does not
    - ``details``: fields of the key ``details``, for values that belong to one event alone and not to the object
    - ``needs``: optional fields of the noun that this type requires
    - ``deprecated``: events are still emitted, but new subscriptions are discouraged
    - ``offered``: whether a webhook can subscribe to it; False for events that are made for one webhook

    ``is_removal`` says whether its events are for those that see an object no longer: they have its ids only.
    """

    name: str
    noun: Noun
    summary: str
    sample: Mapping[str, Any] = field(default_factory=dict)
    sample_details: Mapping[str, Any] = field(default_factory=dict)
    sample_previous: Mapping[str, Any] = field(default_factory=dict)
    version: int = 1
    details: tuple[Field, ...] = ()
    needs: tuple[str, ...] = ()
    sample_actor: ActorKind = ActorKind.ADMINISTRATOR
    deprecated: bool = False
    offered: bool = True
    is_removal: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "is_removal", event_names.is_removal(self.name))
        refuse_lazy_text(self.summary, owner=f'event type "{self.name}"', attribute="summary")
        refuse_conflicts((*self.noun.fields, *self.details), owner=f'event type "{self.name}"')
        for name in self.needs:
            if name not in {item.name for item in self.noun.fields}:
                raise ConfigurationError(
                    f'Event type "{self.name}" needs the field "{name}", which its noun does not have.'
                )

    @property
    def is_snapshot(self) -> bool:
        """Whether its events hold the current state of an object, which a snapshot sends."""
        return self.name == event_names.snapshot_of(self.noun.name)

    @property
    def fields(self) -> tuple[Field, ...]:
        """All fields of ``data``, in the order of payloads. Fields in ``needs`` are required.

        The last ones are those that the host's sources add under ``custom``.
        """
        return _fields(self)

    @property
    def all_fields(self) -> tuple[Field, ...]:
        """All fields of ``data`` and ``details``: those that ``changed`` may name."""
        return (*self.fields, *self.details)

    def root_of(self, field: Field) -> str:
        """Return the key of the event that holds a field of the type: ``details`` or ``data``."""
        return "details" if field in self.details else "data"

    @property
    def sent_fields(self) -> tuple[Field, ...]:
        """The fields that its events have in ``data``: all, or the ids of an object that was removed, as far as they are known."""
        if not self.is_removal:
            return self.fields
        ids = (item for item in self.noun.fields if _is_own_id(item))
        return tuple(replace(item, required=item.required and item.name == "id") for item in ids)

    def ids_in(self, values: Mapping[str, Any]) -> list[Field]:
        """Return the fields of a removed object that have a value."""
        return [item for item in self.sent_fields if item.name in values]

    @property
    def has_window(self) -> bool:
        """Whether the event is about a date that comes near, so that its subscriptions have a window of days."""
        return self.name.endswith(".expiring")

    def schema(self) -> Mapping[str, Any]:
        """Return the JSON Schema (draft 2020-12) of the envelope, for each payload. It is cached: copy it before you change it."""
        return _schema(self)

    def example(self) -> dict[str, Any]:
        """Return a sample of the whole envelope, valid against the schema. Each call returns a new copy of the same sample."""
        sample = self.sample or sample_data(self.sent_fields)
        details = self.sample_details or sample_data(self.details)
        of_host = {} if self.is_removal else custom.sample_of(self.noun.name)
        actor_id = None if self.sample_actor is ActorKind.SYSTEM else SAMPLE_ACTOR_ID
        return {
            "id": SAMPLE_ID,
            "type": self.name,
            "timestamp": SAMPLE_TIMESTAMP,
            "version": self.version,
            "organization": dict(SAMPLE_ORGANIZATION),
            "sequence": SAMPLE_SEQUENCE,
            "actor": {"kind": self.sample_actor.value, "id": actor_id},
            # A webhook has no row of the host's.
            **({} if self.noun.name == "webhook" or self.is_removal else {"digest": SAMPLE_DIGEST}),
            "data": copy.deepcopy({**sample, **of_host}),
            **({"details": copy.deepcopy(dict(details))} if details else {}),
            "changed": [item.name for item in self.all_fields if has_value(self.sample_previous, item.name)],
            "previous": copy.deepcopy(dict(self.sample_previous)),
        }

    def validate(self, envelope: Any) -> None:
        """Raise `SchemaError` if a whole envelope breaks the schema, or lacks a required field of ``data``.

        The message names the event type, the JSON path and the rule. Of the values it names only null: others may be personal.
        """
        reasons = list(dict.fromkeys(_reasons(_validator(self).iter_errors(envelope))))
        if not reasons:
            return
        more = f" and {len(reasons) - _MOST_REASONS} more" if len(reasons) > _MOST_REASONS else ""
        named = reasons[:_MOST_REASONS]
        message = f"A payload of {self.name} breaks its schema: {'; '.join(text for _path, text in named)}{more}."
        raise SchemaError(message, named)


def types_of_every_noun(like: EventType) -> Iterator[EventType]:
    """Yield the types of the events that each noun has, given another type of it: of moves, if it has any, and of its snapshot.

    Their samples are that of the other type, without details and old values.
    """
    noun = like.noun
    if noun.moves:
        ids = [item.name for item in noun.fields if _is_own_id(item) and has_value(like.sample, item.name)]
        removed, added = event_names.moves_of(noun.name)
        yield EventType(
            removed,
            noun,
            "Your organization no longer sees an object, such as after a move: delete your copy. The data has ids only.",
            sample=nested({name: value_at(like.sample, name) for name in ids}),
        )
        yield EventType(
            added,
            noun,
            "Your organization sees an object from now on, such as after a move. The data is its current state.",
            sample=like.sample,
        )
    yield EventType(
        event_names.snapshot_of(noun.name),
        noun,
        f"The current state of one {noun.title.lower()}, sent by a snapshot. Nothing has changed.",
        sample=like.sample,
        sample_actor=ActorKind.SYSTEM,
        offered=False,
    )


def _is_own_id(item: Field) -> bool:
    """Return whether a field is an id that does not say whose the object is."""
    return item.privacy is FieldPrivacy.ID and not item.name.startswith(("organization.", "learner_organization."))


@custom.cached
def _fields(event_type: EventType) -> tuple[Field, ...]:
    of_noun = (
        replace(item, required=True) if item.name in event_type.needs else item for item in event_type.noun.fields
    )
    return (*of_noun, *custom.fields_of(event_type.noun.name))


@custom.cached
def _schema(event_type: EventType, *, whole: bool = False) -> JSONSchema:
    """Return the JSON Schema of an event: the envelope that all events share, with the type's fields as ``data`` and ``details``.

    It accepts each payload of the event, from ``full`` to ``thin``. With ``whole``, it accepts only the stored event.
    """
    name, title, version = event_type.name, event_type.noun.title, event_type.version
    number = (
        "The number of the event among the events of the same object, from 1. A webhook receives only some of them."
    )
    if event_type.is_snapshot:
        number = "The number of the object's last event before the snapshot; 0 without one."
    details = {
        **data_schema(event_type.details, whole=whole),
        "description": "What belongs to this event alone. It is no part of the object.",
    }
    properties: dict[str, JSONSchema] = {
        "id": _ENVELOPE["id"],
        "type": {"const": name, "description": "The event type."},
        "timestamp": _ENVELOPE["timestamp"],
        "version": {"const": version, "description": "The version of this schema."},
        "test": _ENVELOPE["test"],
        "organization": _ENVELOPE["organization"],
        "sequence": {"type": "integer", "minimum": 0 if event_type.is_snapshot else 1, "description": number},
        "actor": _ENVELOPE["actor"],
        "correlation_id": _ENVELOPE["correlation_id"],
        "digest": _ENVELOPE["digest"],
        "data": {
            **data_schema(event_type.sent_fields, whole=whole),
            "title": title,
            "description": f"The {'ids of the ' if event_type.is_removal else ''}{title.lower()} after the event.",
        },
        **({"details": details} if event_type.details else {}),
        "changed": _ENVELOPE["changed"],
        "previous": {
            **data_schema(event_type.all_fields, partial=True),
            "description": "The old values of the changed fields.",
        },
        **{key: _ENVELOPE[key] for key in ("truncated", "links")},
    }
    return {
        "$schema": DIALECT,
        "$id": schema_id(name, version),
        "title": name,
        "description": event_type.summary,
        "type": "object",
        "properties": properties,
        "required": [
            key for key in properties if key not in OPTIONAL_KEYS and (key != "details" or "required" in details)
        ],
    }


@custom.cached
def _validator(event_type: EventType) -> Draft202012Validator:
    # Imported here, because most processes of a project validate nothing, and its import would make each start slower.
    from jsonschema import Draft202012Validator

    return Draft202012Validator(_schema(event_type, whole=True))


def _reasons(errors: Iterator[ValidationError]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield the path and the text of each error."""
    # `error.message` quotes the value. These messages contain only text of the schema. So does the path, because the
    # schema validates only properties that it names.
    for error in errors:
        rule: Any = error.validator_value
        path = tuple(error.absolute_path)
        if error.validator == "required":
            value: Any = error.instance
            yield from ((path, f"{error.json_path}.{name} is missing (required)") for name in rule if name not in value)
        else:
            null = ": it is null" if error.instance is None else ""
            yield path, f"{error.json_path} breaks {error.validator} {json.dumps(rule)}{null}"
