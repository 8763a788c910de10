"""What every event has around its data, and the exact bytes that are signed and sent."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tms_webhooks.actors import Actor
from tms_webhooks.catalogue.values import instant
from tms_webhooks.exceptions import PayloadError

SEQUENCE = '"sequence":'
DIGITS = "0123456789"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an event before it has an id and a number: the part that is built from the host's object."""

    data: Mapping[str, Any]
    changed: Sequence[str]
    previous: Mapping[str, Any]


def envelope(
    *,
    public_id: str,
    event_type: str,
    occurred_at: datetime,
    version: int,
    organization: Mapping[str, Any],
    sequence: int,
    actor: Actor,
    facts: Facts,
) -> dict[str, Any]:
    """Return the whole event in its fixed order of keys."""
    return {
        "id": public_id,
        "type": event_type,
        "timestamp": instant(occurred_at),
        "version": version,
        "organization": dict(organization),
        "sequence": sequence,
        "actor": {"kind": actor.kind, "id": actor.id},
        "data": dict(facts.data),
        "changed": list(facts.changed),
        "previous": dict(facts.previous),
    }


def to_text(whole: Mapping[str, Any]) -> str:
    """Return compact JSON. It is made once and stored; every attempt sends these very characters in UTF-8.

    Raises `PayloadError` for what JSON or UTF-8 has no way to write.
    """
    try:
        text = json.dumps(whole, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        text.encode()
    except UnicodeEncodeError as error:
        # Its message quotes the text.
        raise PayloadError("The payload holds half of a surrogate pair, which is no text.") from error
    except (TypeError, ValueError) as error:
        raise PayloadError(f"The payload can't be written as JSON: {error}.") from error
    return text


def around_number(text: str) -> tuple[str, str]:
    """Split what `to_text` wrote where the event's number stands, for another number."""
    # The first that is no part of a string: there, the quotes would have backslashes before them.
    head, name, tail = text.partition(SEQUENCE)
    return head + name, tail.lstrip(DIGITS)


def from_text(body: str) -> dict[str, Any]:
    """Return the event that `to_text` wrote."""
    whole: dict[str, Any] = json.loads(body)
    return whole
