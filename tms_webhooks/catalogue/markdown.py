"""Render the catalogue as Markdown: each event type with its fields and a sample, on one page or on one page a noun."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tms_webhooks.catalogue import custom
from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.catalogue.schema import Field, status_name

# The head of each table of fields.
TABLE = ("| Field | Type | Privacy | Meaning |", "|---|---|---|---|")


def to_markdown(event_types: Sequence[EventType]) -> str:
    """Return a Markdown page about these event types, grouped by noun."""
    lines = ["# Events", "", *_introduction(event_types)]
    for members in _by_noun(event_types).values():
        lines += _noun(members, heading="##")
    return "\n".join(lines) + "\n"


def to_pages(event_types: Sequence[EventType]) -> Mapping[str, str]:
    """Return a Markdown page for each noun of these event types, by its name, and the page ``index`` that links to them."""
    nouns = _by_noun(event_types)
    lines = ["# Events", "", *_introduction(event_types), "| Noun | Event types |", "|---|---|"]
    for name, members in nouns.items():
        links = " ".join(f"[`{one.name}`]({name}.md#{_anchor(one.name)})" for one in members)
        lines.append(f"| [{members[0].noun.title}]({name}.md) | {links} |")
    pages = {name: "\n".join(_noun(members, heading="#")).rstrip() + "\n" for name, members in nouns.items()}
    return {"index": "\n".join(lines) + "\n", **pages}


def _by_noun(event_types: Iterable[EventType]) -> Mapping[str, Sequence[EventType]]:
    nouns: dict[str, list[EventType]] = {}
    for event_type in event_types:
        nouns.setdefault(event_type.noun.name, []).append(event_type)
    return nouns


def _anchor(heading: str) -> str:
    """Return the anchor that GitHub and MyST give to a heading."""
    return heading.replace(".", "")


def _introduction(event_types: Sequence[EventType]) -> Iterator[str]:
    yield f"{len(event_types)} event types. A webhook subscribes to one type, to all types of a noun (`class.*`), or to all (`*`)."
    yield ""
    yield "All events have the same envelope: `id`, `type`, `timestamp`, `version`, `organization`, `sequence`, `actor`, `data`,"
    yield "`changed` and `previous`. `data` has the fields below, `changed` the names of the changed fields, and `previous` their"
    yield "old values. Fields that the training system lacks are null. *Privacy* decides which fields a webhook gets: the payload"
    yield "`no_personal` has no `personal` fields, and the payload `thin` has `id` fields only."
    yield ""
    yield "Some events have more keys:"
    yield ""
    yield "- `correlation_id`, if a request caused the event"
    yield "- `test`, if a user sent it as a test"
    yield "- `left`, if the object left the organization"
    yield "- `truncated`, if the whole event is too large"
    yield "- `links`, in thin and truncated payloads"
    yield ""


def _noun(members: Sequence[EventType], *, heading: str) -> Iterator[str]:
    noun = members[0].noun
    yield from (f"{heading} {noun.title}", "", *TABLE)
    yield from _rows((*noun.fields, *custom.fields_of(noun.name)))
    yield ""
    for event_type in members:
        yield from _event(event_type, heading=f"{heading}#")


def _event(event_type: EventType, *, heading: str) -> Iterator[str]:
    yield from (f"{heading} {event_type.name}", "", event_type.summary, "")
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
