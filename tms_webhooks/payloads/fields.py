"""Convert values of the host to JSON, field by field, and nest them by their dotted names."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.utils.crypto import salted_hmac

from tms_webhooks.catalogue.schema import Field, FieldKind
from tms_webhooks.catalogue.values import has_value, instant, status_value
from tms_webhooks.conf import strict_payloads
from tms_webhooks.exceptions import PayloadError

# A value that JSON can represent.
Json = Any

logger = logging.getLogger(__name__)


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
