"""Nouns and their canonical fields, and the JSON Schema generated from them.

`EventType`, in ``event_type.py``, combines a noun with a name and a sample.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from tms_webhooks.actors import LONGEST_CORRELATION_ID
from tms_webhooks.choices import ActorKind, FieldPrivacy
from tms_webhooks.exceptions import ConfigurationError

if TYPE_CHECKING:
    from django.db.models import IntegerChoices

    from tms_webhooks.catalogue.event_type import EventType

JSONSchema: TypeAlias = dict[str, Any]

# The JSON Schema dialect, and the patterns of names, ids and times.
DIALECT = "https://json-schema.org/draft/2020-12/schema"
NOUN_NAME = re.compile(r"[a-z0-9_]+")
FIELD_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
EVENT_ID_PATTERN = "^evt_[0-9a-f]{32}$"
# The keys of the envelope that not every event has.
OPTIONAL_KEYS = frozenset({"test", "correlation_id", "left", "truncated", "links"})
# In addition to the format "date-time", which jsonschema validates only with an optional package.
TIMESTAMP_PATTERN = (
    "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][.][0-9]{3}Z$"
)


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
    "changed": {
        "type": "array",
        "items": {"type": "string"},
        "uniqueItems": True,
        "description": "Dotted names of the fields in `data` that changed.",
    },
    "left": {
        "type": "boolean",
        "description": "True in the event for an organization that the object left. Its `data` has ids only.",
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


class FieldKind(StrEnum):
    """The kind of a field's value in JSON."""

    ID = "id"
    """An integer or a string, because primary keys differ between hosts."""
    IDS = "ids"
    """A sorted list of ids without duplicates."""
    STRING = "string"
    """Text."""
    INTEGER = "integer"
    """A whole number."""
    NUMBER = "number"
    """A number, with or without fractions."""
    BOOLEAN = "boolean"
    """True or false."""
    DATETIME = "datetime"
    """An instant in UTC with milliseconds, "2026-11-24T15:04:05.123Z"."""
    STATUS = "status"
    """One of a closed list, as ``{"code": 20, "name": "Waitlist"}``."""
    OBJECTS = "objects"
    """A list of objects that all have the same fields, the field's ``items``."""
    FINGERPRINT = "fingerprint"
    """A keyed hash of a value that must not be sent itself, such as a meeting link: it changes whenever the value changes."""
    JSON = "json"
    """Any JSON value, such as an object with names that the host's users choose."""


# The JSON types of each kind.
_JSON_TYPES: Mapping[FieldKind, tuple[str, ...]] = {
    FieldKind.ID: ("integer", "string"),
    FieldKind.IDS: ("array",),
    FieldKind.STRING: ("string",),
    FieldKind.INTEGER: ("integer",),
    FieldKind.NUMBER: ("number",),
    FieldKind.BOOLEAN: ("boolean",),
    FieldKind.DATETIME: ("string",),
    FieldKind.STATUS: ("object",),
    FieldKind.OBJECTS: ("array",),
    FieldKind.FINGERPRINT: ("string",),
    FieldKind.JSON: ("object", "array", "string", "number", "boolean"),
}


@dataclass(frozen=True, slots=True)
class Field:
    """One canonical field of a noun.

    - ``name``: its dotted path in an event's ``data``, such as "status" or "user.external_id"
    - ``kind``: the kind of its value in JSON
    - ``privacy``: which payload details include it
    - ``required``: whether the host must have it; otherwise it is null if the host lacks it
    - ``choices``: the statuses, for the kind `FieldKind.STATUS` only
    - ``items``: the fields of each object, for the kind `FieldKind.OBJECTS` only; payload details go by their privacy
    - ``doc``: one sentence for people
    """

    name: str
    kind: FieldKind
    privacy: FieldPrivacy
    required: bool = False
    choices: type[IntegerChoices] | None = None
    doc: str = ""
    items: tuple[Field, ...] = ()

    def __post_init__(self) -> None:
        if not FIELD_NAME.fullmatch(self.name):
            raise ConfigurationError(f'"{self.name}" is not a field name. Use dotted segments of a-z, 0-9 and _.')
        if (self.kind is FieldKind.STATUS) is not (self.choices is not None):
            raise ConfigurationError(
                f'Field "{self.name}": give choices to a field of the kind "status", and to no other.'
            )
        if (self.kind is FieldKind.OBJECTS) is not bool(self.items):
            raise ConfigurationError(
                f'Field "{self.name}": give items to a field of the kind "objects", and to no other.'
            )
        refuse_conflicts(self.items, owner=f'field "{self.name}"')


@dataclass(frozen=True, slots=True)
class Noun:
    """A kind of object that events are about, with its canonical fields, one of which is "id".

    ``title`` is its name for people, in English. The admin translates it with the catalogs of all installed apps.
    """

    name: str
    title: str
    fields: tuple[Field, ...]

    def __post_init__(self) -> None:
        if not NOUN_NAME.fullmatch(self.name):
            raise ConfigurationError(f'"{self.name}" is not the name of a noun. Use a-z, 0-9 and _ only.')
        refuse_lazy_text(self.title, owner=f'noun "{self.name}"', attribute="title")
        refuse_conflicts(self.fields, owner=f'noun "{self.name}"')
        if "id" not in {field.name for field in self.fields}:
            raise ConfigurationError(f'The noun "{self.name}" has no field "id". Add the id of its objects.')


def refuse_lazy_text(text: object, *, owner: str, attribute: str) -> None:
    """Raise `ConfigurationError` for a text that is translated already: documents and schemas are in one language."""
    if not isinstance(text, str):
        raise ConfigurationError(
            f"The {attribute} of the {owner} is a {type(text).__name__}, not text. Write plain text, and mark it for "
            "translation with gettext_noop: the admin translates it."
        )


def refuse_conflicts(fields: Iterable[Field], *, owner: str) -> None:
    """Raise `ConfigurationError` if two fields have conflicting paths in ``data``.

    Two fields conflict if they have the same name, or if one is "user" and the other "user.id".
    """
    seen: set[str] = set()
    branches: set[str] = set()
    for field in fields:
        if field.name in seen:
            raise ConfigurationError(f'The {owner} has the field "{field.name}" twice.')
        seen.add(field.name)
        segments = field.name.split(".")
        branches.update(".".join(segments[:depth]) for depth in range(1, len(segments)))
    for name in sorted(seen & branches):
        raise ConfigurationError(f'The {owner} has "{name}" both as a field and as an object with fields.')


@lru_cache(maxsize=None, typed=True)
def status_name(member: IntegerChoices) -> str:
    """Return the name of a status in payloads: "No Show" for ``NO_SHOW``.

    It is made from the member's name, not from its label, because labels are translated and payloads are not.
    """
    return member.name.replace("_", " ").title()


def status_value(member: IntegerChoices) -> dict[str, Any]:
    """Return a status as an object of a payload: ``{"code": 20, "name": "Waitlist"}``."""
    return {"code": int(member.value), "name": status_name(member)}


def field_schema(field: Field, *, nullable: bool) -> JSONSchema:
    """Return the JSON Schema of one field's value."""
    types = [*_JSON_TYPES[field.kind], *(("null",) if nullable else ())]
    schema: JSONSchema = {"type": types if len(types) > 1 else types[0]}
    if field.doc:
        schema["description"] = field.doc
    if field.kind is FieldKind.IDS:
        schema |= {"items": {"type": list(_JSON_TYPES[FieldKind.ID])}, "uniqueItems": True}
    if field.kind is FieldKind.OBJECTS:
        schema["items"] = data_schema(field.items)
    if field.kind is FieldKind.DATETIME:
        schema |= {"format": "date-time", "pattern": TIMESTAMP_PATTERN}
    if field.choices is not None:
        schema |= _status_object(field.choices)
    return schema


def data_schema(fields: Iterable[Field], *, partial: bool = False, whole: bool = False) -> JSONSchema:
    """Return the JSON Schema of an object with these fields, nested by their dotted names.

    Only required ids are required properties, because each payload has those. With ``whole``, all required fields are.
    ``partial`` is for old values: nothing is required, and everything may be null (a new object had no status before).
    Additional properties are allowed, because new fields are added without a new version.
    """
    tree: dict[str, Any] = {}
    for field in fields:
        *branches, leaf = field.name.split(".")
        node = tree
        for branch in branches:
            node = node.setdefault(branch, {})
        node[leaf] = field
    return {**_object(tree, partial=partial, whole=whole), "type": "object"}


def envelope_schema(
    event_type: EventType, fields: tuple[Field, ...], *, version: int, whole: bool = False
) -> JSONSchema:
    """Return the JSON Schema of an event in a version: the envelope that all events share, with these fields as ``data``.

    It accepts each payload of the event, from ``full`` to ``thin``. With ``whole``, it accepts only the stored event.
    """
    name, title = event_type.name, event_type.noun.title
    number = (
        "The number of the event among the events of the same object, from 1. A webhook receives only some of them."
    )
    if event_type.is_snapshot:
        number = "The number of the object's last event before the snapshot; 0 without one."
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
        "data": {
            **data_schema(fields, whole=whole),
            "title": title,
            "description": f"The {title.lower()} after the event.",
        },
        "changed": _ENVELOPE["changed"],
        "previous": {**data_schema(fields, partial=True), "description": "The old values of the changed fields."},
        **{key: _ENVELOPE[key] for key in ("left", "truncated", "links")},
    }
    return {
        "$schema": DIALECT,
        "$id": schema_id(name, version),
        "title": name,
        "description": event_type.summary,
        "type": "object",
        "properties": properties,
        "required": [key for key in properties if key not in OPTIONAL_KEYS],
    }


def schema_id(name: str, version: int) -> str:
    """Return the URI of the schema of an event type in a version."""
    return f"urn:tms-webhooks:event:{name}:{version}"


def _object(tree: Mapping[str, Any], *, partial: bool, whole: bool) -> JSONSchema:
    properties: dict[str, JSONSchema] = {}
    required: list[str] = []
    may_be_null = True
    for key, child in tree.items():
        if isinstance(child, Field):
            properties[key] = field_schema(child, nullable=partial or not child.required)
            needed = child.required and not partial
            in_each_payload = child.privacy is FieldPrivacy.ID
        else:
            properties[key] = _object(child, partial=partial, whole=whole)
            needed = properties[key]["type"] == "object"
            in_each_payload = "required" in properties[key]
        may_be_null = may_be_null and not needed
        if needed and (whole or in_each_payload):
            required.append(key)
    # An object without required fields may be null as a whole, such as the user of anonymous feedback.
    schema: JSONSchema = {"type": ["object", "null"] if may_be_null else "object", "properties": properties}
    return {**schema, "required": required} if required else schema


def _status_object(choices: type[IntegerChoices]) -> JSONSchema:
    return {
        "properties": {
            "code": {"type": "integer", "enum": [int(member.value) for member in choices]},
            "name": {"type": "string", "enum": [status_name(member) for member in choices]},
        },
        "required": ["code", "name"],
    }
