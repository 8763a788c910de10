"""Find the people whose data an event contains."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tms_webhooks.catalogue.custom import ROOT

# An object in a payload with an id and one of these keys is a person: every noun writes people this way.
PERSON_FIELDS = frozenset({"first_name", "last_name", "email"})
# The noun whose objects are people.
PERSON = "user"


def people_in(value: Any) -> Iterator[str]:
    """Yield the id, as text, of each person in an event or in a part of one. Ids may repeat."""
    if isinstance(value, dict):
        if value.get("id") is not None and PERSON_FIELDS & value.keys():
            yield str(value["id"])
        for inner in value.values():
            yield from people_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from people_in(inner)


def texts_of_custom_fields(event: Mapping[str, Any]) -> Iterator[str]:
    """Yield each text in the fields of the host's own, of which any may name a person: an e-mail address, for example."""
    for part in ("data", "previous"):
        values = event.get(part)
        if isinstance(values, Mapping):
            yield from _texts_in(values.get(ROOT))


def _texts_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts_in(inner)


def json_spellings(key: str) -> set[str]:
    """Return the forms in which JSON may write an id."""
    return {json.dumps(key, ensure_ascii=False), *({key} if key.isdecimal() else ())}
