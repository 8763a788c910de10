"""What every event has around its data, and the exact bytes that are signed and sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from tms_webhooks.actors import Actor
from tms_webhooks.catalogue.values import instant
from tms_webhooks.exceptions import PayloadError

SEQUENCE = '"sequence":'
# The number in the body of an event that is not inserted yet.
FIRST_SEQUENCE = 1
DIGITS = "0123456789"


def envelope(
    *,
    public_id: str,
    event_type: str,
    occurred_at: datetime,
    version: int,
    organization: Mapping[str, Any],
    sequence: int,
    actor: Actor,
    content: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the whole event in its fixed order of keys.

    ``content`` holds ``data``, ``changed`` and ``previous``, as `payloads.build` returns them.
    """
    return {
        "id": public_id,
        "type": event_type,
        "timestamp": instant(occurred_at),
        "version": version,
        "organization": dict(organization),
        "sequence": sequence,
        "actor": {"kind": actor.kind, "id": actor.id},
        "data": content["data"],
        "changed": content["changed"],
        "previous": content["previous"],
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


def split_at_sequence(text: str) -> tuple[str, str]:
    """Return the parts of what `to_text` wrote before and after the event's sequence number."""
    # The first occurrence is the key itself: inside a string its quotes would have backslashes before them.
    head, name, tail = text.partition(SEQUENCE)
    return head + name, tail.lstrip(DIGITS)


def with_sequence(text: str, sequence: int) -> str:
    """Return what `to_text` wrote with another sequence number."""
    return str(sequence).join(split_at_sequence(text))


def from_text(body: str) -> dict[str, Any]:
    """Return the event that `to_text` wrote."""
    whole: dict[str, Any] = json.loads(body)
    return whole
