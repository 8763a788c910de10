"""The body of an event: its content, built from a change; the envelope around it; and the text that is stored and sent.

Values of the host become JSON field by field, nested by their dotted names.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any

from django.core.serializers.json import DjangoJSONEncoder
from django.utils.crypto import salted_hmac

from tms_webhooks.actors import Actor, current_correlation_id
from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.catalogue.schema import Field, FieldKind
from tms_webhooks.catalogue.values import has_value, instant, status_value
from tms_webhooks.choices import FieldPrivacy
from tms_webhooks.conf import strict_payloads
from tms_webhooks.exceptions import PayloadError

if TYPE_CHECKING:
    from tms_webhooks.sources.rules import Change

# A value that JSON can represent.
Json = Any

# The lowest sequence number.
FIRST_SEQUENCE = 1

# How `to_text` writes the mark of a test, and the key after it.
TEST_MARK = '"test":true'
AFTER_TEST = '"organization":'

# One encoder for all events: `json.dumps` with options creates one per call.
_as_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode

logger = logging.getLogger(__name__)


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


def from_text(body: str) -> dict[str, Any]:
    """Return the event that `to_text` wrote."""
    event: dict[str, Any] = json.loads(body)
    return event


# Values as JSON


def _id(_field: Field, value: Any) -> Json:
    return value if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _ids(field: Field, value: Any) -> Json:
    if isinstance(value, str | bytes):
        raise TypeError
    return [_id(field, one) for one in value]


def _datetime(_field: Field, value: Any) -> Json:
    if isinstance(value, datetime):
        return instant(value)
    if isinstance(value, date):
        return instant(datetime.combine(value, time(), tzinfo=UTC))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return instant(datetime.fromtimestamp(value, tz=UTC))
    return instant(datetime.fromisoformat(value))


def _objects(field: Field, value: Any) -> Json:
    if isinstance(value, str | bytes) or not all(isinstance(one, Mapping) for one in value):
        raise TypeError
    return [nested_json(field.items, one) for one in value]


def _number(_field: Field, value: Any) -> Json:
    number = float(value) if isinstance(value, Decimal) else value + 0
    if not math.isfinite(number):
        raise ValueError
    return number


def _fingerprint(field: Field, value: Any) -> Json:
    # Keyed with the site's secret: without a key, a meeting number could be guessed from its digest.
    text = str(value)
    return salted_hmac(f"tms_webhooks.{field.name}", text, algorithm="sha256").hexdigest()[:16] if text else None


def _json(_field: Field, value: Any) -> Json:
    # Dates, decimals and UUIDs inside become text, as in the host's own JSON fields.
    return json.loads(json.dumps(value, cls=DjangoJSONEncoder, allow_nan=False))


_CONVERTERS: Mapping[FieldKind, Callable[[Field, Any], Json]] = {
    FieldKind.ID: _id,
    FieldKind.IDS: _ids,
    FieldKind.STRING: lambda _field, value: str(value),
    FieldKind.INTEGER: lambda _field, value: int(value),
    FieldKind.NUMBER: _number,
    FieldKind.BOOLEAN: lambda _field, value: bool(value),
    FieldKind.DATETIME: _datetime,
    # A field of this kind has choices.
    FieldKind.STATUS: lambda field, value: status_value(field.choices(value)),  # type: ignore[misc]
    FieldKind.OBJECTS: _objects,
    FieldKind.FINGERPRINT: _fingerprint,
    FieldKind.JSON: _json,
}


def nested_json(fields: Iterable[Field], values: Mapping[str, Any]) -> dict[str, Json]:
    """Return the values of these fields as JSON, nested by the fields' dotted names; a missing value is null.

    Raises `PayloadError` for a required value that can't be read or sent. Under DEBUG and in tests, an optional value that
    can't be sent raises it, too. It names the field and the type but not the value: it may be personal.

    >>> nested_json([Field("id", FieldKind.ID), Field("user.id", FieldKind.ID)], {"id": 1, "user.id": 2})
    {'id': 1, 'user': {'id': 2}}
    """
    nested: dict[str, Json] = {}
    for field in fields:
        value = values.get(field.name)
        if isinstance(value, PayloadError):
            # The value can't be read.
            if field.required:
                raise value
            value = None
        parents, leaf = _segments(field.name)
        target = nested
        for parent in parents:
            target = target.setdefault(parent, {})
        try:
            target[leaf] = None if value is None else _CONVERTERS[field.kind](field, value)
        except (TypeError, ValueError, KeyError, OverflowError, OSError) as error:
            kind = type(value).__name__
            text = f"{field.name}: a {kind} can't be sent as {field.kind.value}; map the field to another path."
            # No event is lost for an optional value.
            if field.required or strict_payloads():
                raise PayloadError(text) from error
            logger.error("A field is sent as null: %s", text)
            target[leaf] = None
    return nested


@cache
def _segments(name: str) -> tuple[list[str], str]:
    *parents, leaf = name.split(".")
    return parents, leaf


def dotted_names(nested: Mapping[str, Json], fields: Sequence[Field]) -> list[str]:
    """Return the dotted names of the values in a nested object: those of fields in their order, then other top-level keys."""
    tops = {field.name.partition(".")[0] for field in fields}
    present = [field.name for field in fields if has_value(nested, field.name)]
    return present + [top for top in nested if top not in tops]
