"""Render the catalogue as a Markdown page: each event type with its fields and a sample."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from tms_webhooks.catalogue import custom, registry
from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.catalogue.schema import Field, FieldKind
from tms_webhooks.catalogue.values import status_name
from tms_webhooks.choices import ActorKind

LINE_LENGTH = 100

ENVELOPE = """## Envelope

All events have the same envelope, in the format `standard`:

- `id`: string. Id of the event, `evt_…`. It is the header `webhook-id` of each request, and the same in the feed.
- `type`: string. The event type, such as `class.cancelled`.
- `timestamp`: datetime. When the change happened.
- `version`: integer. Version of the schema of `data`.
- `organization.id`: id. The organization that owns the object. That of an enrollment's learner is `data.learner_organization`.
- `organization.external_id`: id or null.
- `sequence`: integer. Number of the event among those of the same object, from 1.
- `actor.kind`: string. The kind of actor that caused the change: ACTOR_KINDS.
- `actor.id`: id or null. The user or API key. Null for `system` and `reconcile`.
- `digest`: string. Hash of the object as the webhook gets it, to [compare your copy](../../howto/snapshot.md#compare-your-copy). Absent in
  `removed` events, and if a noun has no rows to compare with, such as `webhook`.
- `data`: object. The object after the change; a deleted object's last state. `data.custom` has the fields that the training system adds.
- `changed`: array of strings. The changed fields of `data` or `details`, with dots, such as `class.id`. Empty for a new object.
- `previous`: object. Old values of the changed fields, nested like these: `{"class": {"id": 8840}}`.

If one save changes two statuses, it causes two events. Each has all changed fields in `changed`. Some events have more keys:

- `details`, after `data`: values that belong to this event alone, and are no part of the object
- `correlation_id`, if a request caused the event
- `test`, if a user sent it as a test
- `truncated`, if the whole event is too large
- `links`, in thin and truncated payloads if the setting `API_URL` is set""".replace(
    "ACTOR_KINDS", ", ".join(f"`{kind.value}`" for kind in ActorKind)
)

PRIVACY = """## Privacy

*Privacy* decides which fields a webhook gets, by its *payload*:

- **id**: ids and external ids. Each payload has them, and `thin` nothing else.
- **basic**: facts about the training, such as names of courses, dates and statuses. `no_personal` and `full` have them.
- **personal**: names, titles, e-mail addresses, telephone numbers, postal addresses and free text of people. Only `full` has them."""

TYPES = """## Types

- **id**: an integer or a string, with the privacy *id*: store both as text. An *external id* is the id in your own system.
- **ids**: a sorted list of ids, without duplicates
- **string, integer, number, boolean**: the type of JSON
- **datetime**: a string in UTC with milliseconds: `"2026-11-24T15:04:05.123Z"`
- **status**: an object with a number and a name: `{"code": 20, "name": "Waitlist"}`
- **object**: an object with these fields, ids or strings if no type follows. The privacy is that of fields that are no ids.
- **objects**: a list of objects; `name[].field` are their fields
- **fingerprint**: a keyed hash of a value that is not sent, such as a meeting link: it changes when the value changes
- **json**: any value of JSON

Fields may be null unless their type says *never null*, and are null if the training system lacks them. A reference
without an object, such as the `manager` of a user without one, is null or an object whose fields are all null. Check
both."""


def to_markdown(event_types: Sequence[EventType]) -> str:
    """Return a Markdown page about these event types, grouped by noun."""
    lines = [
        "# Events",
        "",
        f"{len(event_types)} event types. A webhook subscribes to one type, to all types of a noun (`class.*`), or to all but `webhook.*` (`*`).",
        "The schema of a type has the id `urn:tms-webhooks:event:<type>:<version>`. The version is 1, unless the type says otherwise.",
        "The first sample of a noun is complete. The others show only the values that differ from it, besides the type.",
        "",
        ENVELOPE,
        "",
        PRIVACY,
        "",
        TYPES,
        "",
    ]
    for members in registry.grouped(event_types).values():
        lines += _noun(members)
    return "\n".join(lines) + "\n"


def _noun(members: Sequence[EventType]) -> Iterator[str]:
    noun = members[0].noun
    yield from (f"## {noun.title}", "", *_rows((*noun.fields, *custom.fields_of(noun.name))), "")
    whole = members[0].example()
    for event_type in members:
        sample = event_type.example()
        is_whole = event_type is members[0] or event_type.is_removal
        # The heading of another sample is its type.
        yield from _event(event_type, sample if is_whole else _difference(whole, {**sample, "type": whole["type"]}))


def _difference(whole: Mapping[str, Any], sample: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values in which a sample differs from a whole one. Old values are complete, and so are objects without a key."""
    found = {}
    for name, value in sample.items():
        other = whole.get(name)
        if name != "previous" and isinstance(value, dict) and isinstance(other, dict) and other.keys() <= value.keys():
            if inner := _difference(other, value):
                found[name] = inner
        elif name not in whole or value != other:
            found[name] = value
    return found


def _event(event_type: EventType, sample: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"### {event_type.name}", "", event_type.summary, "")
    if event_type.version != 1:
        yield from (f"Version {event_type.version}.", "")
    if event_type.needs:
        yield from (f"Never null: {', '.join(f'`{name}`' for name in event_type.needs)}.", "")
    if event_type.details:
        yield from ("Details:", "", *_rows(event_type.details), "")
    # The complete sample shows the state of an object.
    if not event_type.is_snapshot:
        yield from ("```json", _as_json(sample), "```", "")


def _as_json(value: Any, indent: str = "") -> str:
    """Return JSON in which each object and list that fits stands on one line."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent + line) <= LINE_LENGTH or not isinstance(value, dict | list):
        return line
    if isinstance(value, dict):
        lines = [f"{json.dumps(name)}: {_as_json(one, f'{indent}  ')}" for name, one in value.items()]
    else:
        lines = [_as_json(one, f"{indent}  ") for one in value]
    return line[0] + ",".join(f"\n{indent}  {one}" for one in lines) + f"\n{indent}{line[-1]}"


def _rows(fields: Iterable[Field]) -> Iterator[str]:
    """Yield an item for each field and for each object; after a list of objects, also those of the objects' fields."""
    for reference, group in groupby(fields, key=lambda one: one.name.rpartition(".")[0]):
        members = list(group)
        if reference and members[1:] and members[0].name == f"{reference}.id":
            yield _object(reference, members)
            continue
        for one in members:
            yield _row(one, one.name)
            yield from (_row(item, f"{one.name}[].{item.name}") for item in one.items)


def _object(reference: str, members: Sequence[Field]) -> str:
    """Return one item for the fields of an object that another one refers to. Their names say what they mean."""
    names = []
    for one in members:
        notes = [] if one.kind in (FieldKind.ID, FieldKind.STRING) else [one.kind.value]
        notes += ["never null"] if one.required else []
        name = f"`{one.name.removeprefix(f'{reference}.')}`"
        names.append(f"{name} ({', '.join(notes)})" if notes else name)
    privacies = dict.fromkeys(f", {one.privacy.value}" for one in members if one.kind != FieldKind.ID)
    meaning = members[0].doc.removeprefix("Id of ")
    return f"- `{reference}`: object{''.join(privacies)}: {', '.join(names)}. {meaning[:1].upper()}{meaning[1:]}"


def _row(one: Field, name: str) -> str:
    # The list of types says it once.
    doc = one.doc.replace(": the id in your own system", "")
    if one.choices is not None:
        names = ", ".join(f"{member.value:d} {status_name(member)}" for member in one.choices)
        doc = f"{doc} {names}.".strip()
    # Ids have their own privacy, and so have the fields of the objects of a list.
    privacy = "" if one.items or one.kind.value in ("id", "ids") else f", {one.privacy.value}"
    return f"- `{name}`: {one.kind.value}{', never null' if one.required else ''}{privacy}. {doc}"
