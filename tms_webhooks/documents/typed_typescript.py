"""The event types as TypeScript, with the parts of a receiver: one file without dependencies."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

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

TYPESCRIPT = Language(
    template=Path(__file__).with_name("typed_typescript.txt"),
    place="// @@types@@",
    scalars={"string": "string", "integer": "number", "number": "number", "boolean": "boolean", ANY: "JsonValue"},
    literals=lambda values: [json.dumps(one, ensure_ascii=False) for one in values],
    list_of="Array<{}>",
    null="null",
)


def typescript(event_types: Sequence[EventType]) -> str:
    """Return the file with these event types."""
    return TYPESCRIPT.module(event_types, _declarations)


def _declarations(model: TypeModel) -> Iterator[str]:
    yield from _interface("EventEnvelope", "The properties that all events have.", model.envelope)
    for declared in model.objects:
        yield from _interface(declared.name, declared.doc, declared.properties)
    for event in model.events:
        yield from _event(event)
    yield "/** The type of each event by the name of its event type. */"
    yield "export interface EventMap {"
    yield from (f"  {json.dumps(one.event_type)}: {one.name};" for one in model.events)
    yield from ("}", "")
    yield "const VERSIONS: ReadonlyMap<string, number> = new Map<string, number>(["
    yield from (f"  [{json.dumps(one.event_type)}, {one.version}]," for one in model.events)
    yield "]);"


def _event(event: EventDeclaration) -> Iterator[str]:
    yield from _comment(event.doc)
    yield f"export interface {event.name} extends EventEnvelope {{"
    yield f"  type: {json.dumps(event.event_type)};"
    yield f"  version: {event.version};"
    yield f"  data: {event.data};"
    yield f"  previous: {event.previous};"
    yield from ("}", "")


def _interface(name: str, doc: str, properties: Iterable[PropertyDeclaration]) -> Iterator[str]:
    yield from _comment(doc)
    yield f"export interface {name} {{"
    for one in properties:
        yield from _comment(one.doc, indent="  ")
        key = one.name if is_word(one.name) else json.dumps(one.name)
        yield f"  {key}{'' if one.required else '?'}: {TYPESCRIPT.type_of(one.type)};"
    yield from ("}", "")


def _comment(doc: str, *, indent: str = "") -> Iterator[str]:
    text = doc.replace("*/", "*\\/")
    if len(text) + len(indent) <= WIDTH - len("/** */"):
        yield from ([f"{indent}/** {text} */"] if text else [])
        return
    yield f"{indent}/**"
    yield from textwrap.wrap(text, WIDTH, initial_indent=f"{indent} * ", subsequent_indent=f"{indent} * ")
    yield f"{indent} */"
