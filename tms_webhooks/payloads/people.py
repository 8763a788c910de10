"""Whom an event speaks of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

PERSON_FIELDS = frozenset({"first_name", "last_name", "email"})
"""Beside an id, what shows that an object in a payload is a person: each noun writes people that way."""

PERSON = "user"
"""The noun whose objects are people."""


def people_in(value: Any) -> Iterator[str]:
    """Yield the id, as text, of every person in an event or a part of one; some of them several times."""
    if isinstance(value, dict):
        if value.get("id") is not None and PERSON_FIELDS & value.keys():
            yield str(value["id"])
        for inner in value.values():
            yield from people_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from people_in(inner)


def json_spellings(key: str) -> set[str]:
    """Return how JSON may write an id."""
    return {json.dumps(key, ensure_ascii=False), *({key} if key.isdecimal() else ())}
