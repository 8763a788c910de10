"""The body of an event: its content, built from a change; the envelope around it; and the text that is stored and sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tms_webhooks.actors import Actor, current_correlation_id
from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.catalogue.values import instant
from tms_webhooks.choices import FieldPrivacy
from tms_webhooks.exceptions import PayloadError
from tms_webhooks.payloads.fields import nested_json

if TYPE_CHECKING:
    from tms_webhooks.sources.rules import Change

# How `to_text` writes the sequence number of an event that has none yet; `outbox.numbers` writes the number.
UNNUMBERED = '"sequence":null'
# The lowest sequence number.
FIRST_SEQUENCE = 1

# How `to_text` writes the mark of a test, and the key after it.
TEST_MARK = '"test":true'
AFTER_TEST = '"organization":'

# One encoder for all events: `json.dumps` with options creates one per call.
_as_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def build_content(
    change: Change, event_type: EventType, *, extra: Mapping[str, Any] | None = None, omit_personal: bool = False
) -> dict[str, Any]:
    """Return the content of one event: ``data``, ``details``, ``changed`` and ``previous``, by these names.

    ``extra`` holds values that the change lacks, such as those of ``details``. ``omit_personal`` leaves personal fields out of ``changed`` and
    ``previous``. The ``data`` of an object that was removed has its ids only, as far as the change has them.
    A field that the host lacks is null, and so are an old status without a mapping and an optional value that can't be
    read. Raises `PayloadError` for a required value that can't be sent.
    """
    fields = [
        field
        for field in ((*event_type.fields, *event_type.details) if change.changed else ())
        if field.name in change.changed and not (omit_personal and field.privacy is FieldPrivacy.PERSONAL)
    ]
    previous = {
        field.name: None if isinstance(old := change.before.get(field.name), PayloadError) else old for field in fields
    }
    values = {**change.values, **(extra or {})}
    return {
        "data": nested_json(event_type.ids_in(values) if event_type.is_removal else event_type.fields, values),
        **({"details": nested_json(event_type.details, values)} if event_type.details else {}),
        "changed": [name for name in change.changed if name in previous],
        "previous": nested_json(fields, previous),
    }


def envelope(event: Any, values: Mapping[str, Any], content: Mapping[str, Any], *, actor: Actor) -> dict[str, Any]:
    """Return the whole event without its number, its keys in their fixed order. Without a correlation id or details it has no such key.

    ``event`` is its row, and ``values`` are the object's canonical values, which name its organization. ``content`` is as `build_content` returns
    it.
    """
    key, external = values.get("organization.id"), values.get("organization.external_id")
    correlation_id = current_correlation_id()
    return {
        "id": event.public_id,
        "type": event.type,
        "timestamp": instant(event.occurred_at),
        "version": event.version,
        "organization": {
            "id": key if isinstance(key, int) or key is None else str(key),
            "external_id": None if external is None else str(external),
        },
        "sequence": None,
        "actor": {"kind": actor.kind, "id": actor.id},
        **({} if correlation_id is None else {"correlation_id": correlation_id}),
        **content,
    }


def marked_as_test(text: str) -> str:
    """Return the output of `to_text` for an event with the mark of a test, in its place in the order of keys."""
    # The first match is the envelope's own key: each value before it is the app's own.
    return text if is_test(text) else text.replace(AFTER_TEST, f"{TEST_MARK},{AFTER_TEST}", 1)


def is_test(text: str) -> bool:
    """Return whether the output of `to_text` is an event with the mark of a test."""
    # Before the organization, each value is the app's own: no name or text of the host can look like the mark.
    return text.find(TEST_MARK, 0, max(text.find(AFTER_TEST), 0)) != -1


def to_text(event: Mapping[str, Any]) -> str:
    """Return an event as compact JSON. It is written once and stored; every attempt sends this same text in UTF-8.

    Raises `PayloadError` for values that JSON or UTF-8 can't represent.
    """
    try:
        text = _as_json(event)
        text.encode()
    except UnicodeEncodeError as error:
        # The error's own message quotes the text, which may be personal.
        raise PayloadError("The payload holds half of a surrogate pair, which is no text.") from error
    except (TypeError, ValueError) as error:
        raise PayloadError(f"The payload can't be written as JSON: {error}.") from error
    return text


def with_sequence(text: str, sequence: int) -> str:
    """Return the output of `to_text` for an event without a number with this sequence number."""
    # The first match is the envelope's own key: inside a string the quotes would be escaped.
    return text.replace(UNNUMBERED, f'"sequence":{sequence}', 1)


def from_text(body: str) -> dict[str, Any]:
    """Return the event that `to_text` wrote."""
    event: dict[str, Any] = json.loads(body)
    return event
