"""Render the catalogue as a Markdown page: each event type with its fields and a sample."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from tms_webhooks.catalogue import custom
from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.catalogue.schema import Field, status_name

# The head of each table of fields.
TABLE = ("| Field | Type | Privacy | Meaning |", "|---|---|---|---|")


def to_markdown(event_types: Sequence[EventType]) -> str:
    """Return a Markdown page about these event types, grouped by noun."""
    by_noun: dict[str, list[EventType]] = {}
    for event_type in event_types:
        by_noun.setdefault(event_type.noun.name, []).append(event_type)
    lines = ["# Events", "", *_introduction(event_types)]
    for members in by_noun.values():
        lines += _noun(members)
    return "\n".join(lines) + "\n"


def _introduction(event_types: Sequence[EventType]) -> Iterator[str]:
    yield f"{len(event_types)} event types. A webhook subscribes to one type, to all types of a noun (`class.*`), or to all (`*`)."
    yield ""
    yield "All events have the same envelope: `id`, `type`, `timestamp`, `version`, `organization`, `sequence`, `actor`,"
    yield "`data` (the fields below), `changed` (names of changed fields) and `previous` (their old values). Fields that the"
    yield "training system lacks are null. *Privacy* decides which fields a webhook gets: the payload `no_personal` has no"
    yield "`personal` fields, and the payload `thin` has `id` fields only."
    yield ""


def _noun(members: Sequence[EventType]) -> Iterator[str]:
    noun = members[0].noun
    yield from (f"## {noun.title}", "", *TABLE)
    yield from _rows((*noun.fields, *custom.fields_of(noun.name)))
    yield ""
    for event_type in members:
        yield from _event(event_type)


def _event(event_type: EventType) -> Iterator[str]:
    yield from (f"### {event_type.name}", "", event_type.summary, "")
    yield f"Version {event_type.version}. Schema: `{event_type.schema()['$id']}`."
    yield ""
    if event_type.needs:
        yield f"Never null: {', '.join(f'`{name}`' for name in event_type.needs)}."
        yield ""
    if event_type.extra:
        yield from TABLE
        yield from _rows(event_type.extra)
        yield ""
    yield from ("```json", json.dumps(event_type.example(), indent=2, ensure_ascii=False), "```", "")


def _rows(fields: Iterable[Field]) -> Iterator[str]:
    """Yield the row of each field; after a list of objects, also the rows of the objects' fields."""
    for one in fields:
        yield _row(one, one.name)
        yield from (_row(item, f"{one.name}[].{item.name}") for item in one.items)


def _row(one: Field, name: str) -> str:
    doc = one.doc
    if one.choices is not None:
        names = ", ".join(f"{int(member.value)} {status_name(member)}" for member in one.choices)
        doc = f"{doc} {names}.".strip()
    kind = f"{one.kind.value}, never null" if one.required else one.kind.value
    # The objects of a list have fields of different privacy.
    privacy = "" if one.items else one.privacy.value
    return f"| `{name}` | {kind} | {privacy} | {doc} |"
