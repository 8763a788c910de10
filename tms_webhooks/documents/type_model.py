"""The event types of the catalogue as declarations that the writers of programming languages share.

They are made from the JSON Schemas of events (`schemas`), and include their reduced forms. A payload that is `thin` or
`no_personal` lacks fields, so a property is required only if each form has it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tms_webhooks.catalogue import EventType, Field, FieldPrivacy
from tms_webhooks.catalogue.schema import JSONSchema
from tms_webhooks.documents.schemas import COMPONENTS, SHARED, camel_case, event_schemas, schema_name

OWN_KEYS = ("type", "version", "data", "previous")
"""The keys of the envelope whose types differ between event types."""

PRIVACY_NOTES: Mapping[FieldPrivacy, str] = {
    FieldPrivacy.ID: "",
    FieldPrivacy.BASIC: "Not in `thin` payloads.",
    FieldPrivacy.PERSONAL: "Personal: only in `full` payloads.",
}
"""The payloads in which a field is absent."""

ENVELOPE = "Event"
"""The first part of the names of the objects in the envelope."""
ANY = "any"
"""The scalar that stands for any JSON value."""

WIDTH = 116
"""Maximum width of a comment in characters, in each language."""

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class ValueType:
    """The type of a property's value: the union of all that is set.

    - ``scalars``: names of JSON types ("string", "integer", "number", "boolean"), or "any" for any JSON value
    - ``literals``: the only possible values
    - ``reference``: the name of an `ObjectDeclaration`
    - ``item``: the type of the items of a list
    - ``nullable``: whether it may be null
    """

    scalars: tuple[str, ...] = ()
    literals: tuple[Any, ...] = ()
    reference: str = ""
    item: ValueType | None = None
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class PropertyDeclaration:
    """A property of an object. ``required`` says whether each payload has it."""

    name: str
    type: ValueType
    required: bool
    doc: str


@dataclass(frozen=True, slots=True)
class ObjectDeclaration:
    """A named object type."""

    name: str
    doc: str
    properties: tuple[PropertyDeclaration, ...]


@dataclass(frozen=True, slots=True)
class EventDeclaration:
    """An event type: the name of its type, and the names of the types of its ``data`` and ``previous``."""

    event_type: str
    name: str
    version: int
    doc: str
    data: str
    previous: str


@dataclass(frozen=True, slots=True)
class TypeModel:
    """All declarations. Each object stands after those that it refers to.

    - ``envelope``: the properties that all events share
    - ``objects``: the types of nested objects, ``data`` and ``previous``
    """

    envelope: tuple[PropertyDeclaration, ...]
    objects: tuple[ObjectDeclaration, ...]
    events: tuple[EventDeclaration, ...]


@dataclass(frozen=True, slots=True)
class Language:
    """How a programming language writes the declarations.

    - ``template``: the file with the parts of a receiver. The line ``place`` is replaced by the types
    - ``scalars``: the types of JSON's scalars, and of `ANY`
    - ``literals``: returns the members of a union for the only possible values
    - ``list_of``: a list, with ``{}`` in place of the type of its items
    - ``null``: the type of null
    """

    template: Path
    place: str
    scalars: Mapping[str, str]
    literals: Callable[[Sequence[Any]], Iterable[str]]
    list_of: str
    null: str

    def module(self, event_types: Sequence[EventType], lines: Callable[[TypeModel], Iterable[str]]) -> str:
        """Return the file with these event types; ``lines`` returns the lines of their declarations."""
        template = self.template.read_text(encoding="utf-8")
        model = type_model(event_types, reserved=frozenset(_WORD.findall(template)))
        return template.replace(self.place, "\n".join(lines(model)).strip())

    def type_of(self, value: ValueType) -> str:
        """Return the type of a value as a union."""
        parts = [self.scalars[name] for name in value.scalars]
        parts += self.literals(value.literals) if value.literals else []
        parts += [value.reference] if value.reference else []
        parts += [self.list_of.format(self.type_of(value.item))] if value.item else []
        parts += [self.null] if value.nullable else []
        return " | ".join(parts)


def type_model(event_types: Sequence[EventType], *, reserved: Container[str] = ()) -> TypeModel:
    """Return the declarations of these event types, at least one. No object gets a ``reserved`` name."""
    builder = _Builder(event_schemas(event_types), reserved)
    first = builder.components[schema_name(event_types[0])]
    shared = {name: schema for name, schema in first["properties"].items() if name not in OWN_KEYS}
    envelope = builder.properties({"properties": shared, "required": first["required"]}, _Scope((ENVELOPE,)))
    for event_type in event_types:
        builder.add_parts(event_type)
    events = tuple(builder.event(event_type, shared) for event_type in event_types)
    return TypeModel(envelope, tuple(builder.objects.values()), events)


def is_word(name: str) -> bool:
    """Return whether a name is an identifier of Python and TypeScript. Keywords are."""
    return _WORD.fullmatch(name) is not None


def _identifier(component: str) -> str:
    """Return the name of a component as the name of a type: a noun may begin with a digit."""
    return component if is_word(component) else f"T{component}"


@dataclass(frozen=True, slots=True)
class _Scope:
    """Where a schema stands: the first parts of the names of its objects, and the privacy of each field by its dotted name.

    Without ``privacy``, each payload has the required properties.
    """

    bases: tuple[str, ...]
    privacy: Mapping[str, FieldPrivacy] | None = None

    def note(self, dotted: str) -> str:
        """Return the sentence on the payloads that lack a field."""
        level = (self.privacy or {}).get(dotted)
        return PRIVACY_NOTES[level] if level else ""

    def always_included(self, schema: JSONSchema, dotted: str) -> bool:
        """Return whether the thin form has a required property: it is an id, or an object with a required id."""
        if self.privacy is None:
            return True
        if dotted in self.privacy:
            return self.privacy[dotted] is FieldPrivacy.ID
        properties = schema.get("properties", {})
        return any(self.always_included(properties[name], f"{dotted}.{name}") for name in schema.get("required", ()))


@dataclass(slots=True)
class _Builder:
    """Declares objects by their schemas. Equal objects at the same place of a noun are declared once."""

    components: Mapping[str, JSONSchema]
    reserved: Container[str]
    objects: dict[str, ObjectDeclaration] = field(default_factory=dict)

    def add_parts(self, event_type: EventType) -> None:
        """Declare the ``data`` and ``previous`` of an event type."""
        privacy = dict(_privacy_by_name(event_type.fields))
        for part in SHARED:
            component = self._part_component(event_type, part)
            name = _identifier(component)
            if name not in self.objects:
                middle = SHARED[part] if part == "previous" else ""
                bases = tuple(camel_case(owner) + middle for owner in (event_type.noun.name, event_type.name))
                properties = self.properties(self.components[component], _Scope(bases, privacy))
                self.objects[name] = ObjectDeclaration(name, self.components[component]["description"], properties)

    def event(self, event_type: EventType, shared: Mapping[str, JSONSchema]) -> EventDeclaration:
        """Return the declaration of an event type. Its text names the shared properties with another meaning."""
        own = self.components[schema_name(event_type)]["properties"]
        others = [
            f"`{name}`: {own[name]['description']}"
            for name, schema in shared.items()
            if own[name]["description"] != schema["description"]
        ]
        return EventDeclaration(
            event_type.name,
            _identifier(schema_name(event_type)),
            event_type.version,
            _sentence(event_type.summary, "Deprecated." if event_type.deprecated else "", *others),
            *(_identifier(self._part_component(event_type, part)) for part in SHARED),
        )

    def properties(self, schema: JSONSchema, scope: _Scope, path: str = "") -> tuple[PropertyDeclaration, ...]:
        """Return the properties of the object at a dotted path, and declare the objects in it."""
        declared = []
        for name, inner in schema["properties"].items():
            dotted = f"{path}.{name}" if path else name
            required = name in schema.get("required", ()) and scope.always_included(inner, dotted)
            doc = _sentence(inner.get("description", ""), scope.note(dotted))
            declared.append(PropertyDeclaration(name, self._value_type(inner, scope, dotted), required, doc))
        return tuple(declared)

    def _part_component(self, event_type: EventType, part: str) -> str:
        reference: str = self.components[schema_name(event_type)]["properties"][part]["$ref"]
        return reference.removeprefix(COMPONENTS)

    def _value_type(self, schema: JSONSchema, scope: _Scope, dotted: str) -> ValueType:
        if "const" in schema:
            return ValueType(literals=(schema["const"],))
        types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        nullable = "null" in types
        if "enum" in schema:
            return ValueType(literals=tuple(schema["enum"]), nullable=nullable)
        if "properties" in schema:
            return ValueType(reference=self._declare(schema, scope, dotted), nullable=nullable)
        if "items" in schema:
            return ValueType(item=self._value_type(schema["items"], scope, dotted), nullable=nullable)
        if "object" in types:
            return ValueType(scalars=(ANY,))
        return ValueType(scalars=tuple(name for name in types if name != "null"), nullable=nullable)

    def _declare(self, schema: JSONSchema, scope: _Scope, dotted: str) -> str:
        """Return the name of an object's type; declare it unless an equal one is declared."""
        if dotted in (scope.privacy or {}) and "enum" in schema["properties"].get("code", {}):
            # A status, which is the same type in `data` and `previous`, and is whole in each payload that has it.
            scope = _Scope(tuple(base.removesuffix(SHARED["previous"]) for base in scope.bases))
        properties = self.properties(schema, scope, dotted)
        for base in scope.bases:
            name = _identifier(base + camel_case(dotted))
            if self._is_free(name) or (name in self.objects and self.objects[name].properties == properties):
                break
        while not self._is_free(name) and (name not in self.objects or self.objects[name].properties != properties):
            name += "_"
        self.objects.setdefault(name, ObjectDeclaration(name, "", properties))
        return name

    def _is_free(self, name: str) -> bool:
        return name not in self.objects and name not in self.components and name not in self.reserved


def _privacy_by_name(fields: Sequence[Field], prefix: str = "") -> Iterator[tuple[str, FieldPrivacy]]:
    """Yield the dotted name and the privacy of each field, also of those of objects in lists."""
    for one in fields:
        yield f"{prefix}{one.name}", _privacy(one)
        yield from _privacy_by_name(one.items, f"{prefix}{one.name}.")


def _privacy(one: Field) -> FieldPrivacy:
    """Return the privacy of a field. A list of objects is in each payload that has a field of the objects."""
    order = tuple(FieldPrivacy)
    return min((_privacy(item) for item in one.items), key=order.index) if one.items else one.privacy


def _sentence(*texts: object) -> str:
    """Return texts as one line."""
    return " ".join(" ".join(map(str, texts)).split())
