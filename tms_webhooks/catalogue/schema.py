"""Nouns and their canonical fields, and the JSON Schema generated from them.

`EventType`, in ``event_type.py``, combines a noun with a name and a sample.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

from tms_webhooks.catalogue.values import nested, status_name
from tms_webhooks.choices import FieldPrivacy
from tms_webhooks.exceptions import ConfigurationError

if TYPE_CHECKING:
    from django.db.models import IntegerChoices

JSONSchema: TypeAlias = dict[str, Any]

# The JSON Schema dialect, and the patterns of names, ids and times.
DIALECT = "https://json-schema.org/draft/2020-12/schema"
NOUN_NAME = re.compile(r"[a-z0-9_]+")
FIELD_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
EVENT_ID_PATTERN = "^evt_[0-9a-f]{32}$"
# The keys of the envelope that not every event has.
OPTIONAL_KEYS = frozenset({"test", "correlation_id", "digest", "truncated", "links"})
# In addition to the format "date-time", which jsonschema validates only with an optional package.
TIMESTAMP_PATTERN = (
    "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9][.][0-9]{3}Z$"
)


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

    - ``title``: its name for people, in English. The admin translates it with the catalogs of all installed apps
    - ``moves``: whether an object can move to another organization, so that it has events of that
    """

    name: str
    title: str
    fields: tuple[Field, ...]
    moves: bool = True

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
        schema |= {
            "properties": {
                "code": {"type": "integer", "enum": [int(member.value) for member in field.choices]},
                "name": {"type": "string", "enum": [status_name(member) for member in field.choices]},
            },
            "required": ["code", "name"],
        }
    return schema


def data_schema(fields: Iterable[Field], *, partial: bool = False, whole: bool = False) -> JSONSchema:
    """Return the JSON Schema of an object with these fields, nested by their dotted names.

    Only required ids are required properties, because each payload has those. With ``whole``, all required fields are.
    ``partial`` is for old values: nothing is required, and everything may be null (a new object had no status before).
    Additional properties are allowed, because new fields are added without a new version.
    """
    tree = nested({field.name: field for field in fields})
    return {**_object(tree, partial=partial, whole=whole), "type": "object"}


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
