"""The event types as Python, with the parts of a receiver: one module of the standard library alone."""

from __future__ import annotations

import json
import keyword
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tms_webhooks.catalogue import EventType
from tms_webhooks.documents.type_model import (
    ANY,
    WIDTH,
    EventDeclaration,
    Language,
    PropertyDeclaration,
    TypeModel,
    is_word,
)

PYTHON = Language(
    template=Path(__file__).with_name("typed_python.txt"),
    place="# @@types@@",
    scalars={"string": "str", "integer": "int", "number": "float", "boolean": "bool", ANY: "JsonValue"},
    literals=lambda values: [f"Literal[{', '.join(map(_literal, values))}]"],
    list_of="list[{}]",
    null="None",
)


def python(event_types: Sequence[EventType]) -> str:
    """Return the module with these event types."""
    return PYTHON.module(event_types, _declarations)


def _declarations(model: TypeModel) -> Iterator[str]:
    yield from _typed_dict("EventEnvelope", "The keys that all events have.", model.envelope)
    for declared in model.objects:
        yield from _typed_dict(declared.name, declared.doc, declared.properties)
    for event in model.events:
        yield from _event(event)
    yield from _closing(model)


def _closing(model: TypeModel) -> Iterator[str]:
    """Yield the union of all events, the types of their handlers and their versions."""
    yield "KnownEvent: TypeAlias = Union["
    yield from (f"    {one.name}," for one in model.events)
    yield from ("]", '"""An event of a type of this file."""', "")
    yield "Handlers = TypedDict("
    yield '    "Handlers",'
    yield "    {"
    yield from (f"        {_literal(one.event_type)}: Callable[[{one.name}], object]," for one in model.events)
    yield "    },"
    yield "    total=False,"
    yield from (")", '"""A handler for each event type that matters to you."""', "")
    yield "VERSIONS: Mapping[str, int] = {"
    yield from (f"    {_literal(one.event_type)}: {one.version}," for one in model.events)
    yield "}"


def _event(event: EventDeclaration) -> Iterator[str]:
    yield f"class {event.name}(EventEnvelope):"
    yield from _docstring(event.doc)
    yield f"    type: Literal[{_literal(event.event_type)}]"
    yield f"    version: Literal[{event.version}]"
    yield f"    data: {event.data}"
    yield f"    previous: {event.previous}"
    yield from ("", "")


def _typed_dict(name: str, doc: str, properties: Sequence[PropertyDeclaration]) -> Iterator[str]:
    """Yield a `TypedDict`: a class, or a call where a key is no name of an attribute."""
    if all(is_word(one.name) and not keyword.iskeyword(one.name) and one.name[:2] != "__" for one in properties):
        yield f"class {name}(TypedDict):"
        yield from _docstring(doc)
        yield from _keys(properties, "    {key}: {type}", indent="    ")
    else:
        yield f"{name} = TypedDict("
        yield f"    {_literal(name)},"
        yield "    {"
        yield from _keys(properties, "        {literal}: {type},", indent="        ")
        yield from ("    },", ")")
        yield from ([f'"""{_escaped(doc)}"""'] if doc else [])
    yield from ("", "")


def _keys(properties: Iterable[PropertyDeclaration], line: str, *, indent: str) -> Iterator[str]:
    for one in properties:
        if one.doc:
            yield from textwrap.wrap(one.doc, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# ")
        value = PYTHON.type_of(one.type)
        value = value if one.required else f"NotRequired[{value}]"
        yield line.format(key=one.name, literal=_literal(one.name), type=value)


def _docstring(doc: str) -> Iterator[str]:
    lines = textwrap.wrap(_escaped(doc), WIDTH - len('    """"""'))
    if len(lines) == 1 and not doc.endswith('"'):
        yield from (f'    """{lines[0]}"""', "")
    elif lines:
        yield f'    """{lines[0]}'
        yield from (f"    {line}" for line in lines[1:])
        yield from ('    """', "")


def _escaped(doc: str) -> str:
    return doc.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')


def _literal(value: Any) -> str:
    """Return a string, a number or a Boolean as Python source."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
