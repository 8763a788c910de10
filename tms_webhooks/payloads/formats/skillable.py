"""The format ``skillable``: one flat object with the names that the training system's API has in the results of its searches.

Statuses are the API's numbers, and times are seconds since 1970; those of subscriptions are ISO 8601, as in the API. The API has no vouchers, achievements or learning paths;
their fields are named by the same rules.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from functools import cache
from typing import Any

from tms_webhooks import catalogue
from tms_webhooks.catalogue import custom
from tms_webhooks.catalogue.custom import CustomField
from tms_webhooks.catalogue.schema import Field, FieldKind
from tms_webhooks.catalogue.values import in_utc, value_at
from tms_webhooks.payloads.formats.template import written

# The list of the host's own fields.
CUSTOM_FIELDS = "CustomFields"

# Exceptions from the rule of `api_name`: those of one noun, and those of all nouns.
_OF_NOUN: Mapping[str, Mapping[str, str]] = {
    "class": {
        "status": "ConfirmationStatusId",
        "enrolled_count": "NumEnroll",
        "open_count": "NumOpen",
    },
    "enrollment": {"status": "EnrollmentStatusId"},
    "course_assignment": {
        "user.first_name": "FirstName",
        "user.last_name": "LastName",
        "user.email": "Email",
        "subscription.id": "ClubMembershipId",
        "subscription.external_id": "ClubMembershipExternalId",
        "subscription.name": "ClubMembershipName",
    },
    "user": {"role_ids": "Roles", "roles": "RoleNames", "managed_organization_ids": "ManagedOrganizations"},
    # The failed event, not the operational event about it.
    "webhook": {"event_id": "FailedEventId", "event_type": "FailedEventType"},
    "subscription": {"name": "SubscriptionProfileName", "profile.id": "SubscriptionProfileId", "start_at": "Starts"},
}
_OF_ALL: Mapping[str, str] = {
    "created_at": "Created",
    "updated_at": "LastModified",
    "time_zone": "TimeZoneId",
    "enrollment.id": "ClassEnrollmentId",
}


def flat(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event as a flat object: its id, type and time, its fields by the API's names, and what changed."""
    event_type = catalogue.get(event["type"])
    noun, fields = event_type.noun.name, event_type.all_fields
    names = {field.name: name_of(field, noun) for field in fields}
    values = {
        "EventId": event["id"],
        "EventType": event["type"],
        "EventTimestamp": _epoch(event["timestamp"]),
        **({"EventTest": True} if event.get("test") else {}),
        **_flat_object(event["data"], fields, noun),
        **_flat_object(event.get("details", {}), fields, noun),
        "Sequence": event["sequence"],
        "Changed": list(dict.fromkeys(names.get(name, name) for name in event["changed"])),
        "Previous": _flat_object(event["previous"], fields, noun),
    }
    optional = {
        "CorrelationId": event.get("correlation_id"),
        "Digest": event.get("digest"),
        "EventUrl": value_at(event, "links.event"),
        "Truncated": event.get("truncated"),
    }
    return values | {name: value for name, value in optional.items() if value}


def _flat_object(data: Any, fields: Iterable[Field], noun: str) -> dict[str, Any]:
    """Return the values of an object of this noun by the API's names, as far as ``data`` includes them.

    The fields of the host's own are in a list.
    """
    own, values = custom.of_noun(noun), dict[str, Any]()
    for field in fields:
        if not _belongs(data, field.name):
            continue
        value = _value(field, value_at(data, field.name), noun)
        if field.name in own:
            items = _custom_values(own[field.name], value)
            values.setdefault(CUSTOM_FIELDS, []).extend(
                # The search of classes spells it like this.
                {**item, "TexValue": item["TextValue"]} if noun == "class" else item
                for item in items
            )
        else:
            values[api_name(noun, field.name, field.kind)] = value
    return values


def _custom_values(one: CustomField, value: Any) -> Iterator[dict[str, Any]]:
    """Yield the items of ``CustomFields`` for a field of the host's own, as the API writes them.

    An object yields an item for each of its keys: the names are those that the host's users chose.
    """
    is_object = one.field.kind is FieldKind.JSON and isinstance(value, Mapping)
    for name, item in value.items() if is_object else [(one.title, value)]:
        typed: dict[str, Any] = {}
        if isinstance(item, bool):
            typed = {"BooleanValue": item}
        elif isinstance(item, int | float):
            typed = {"NumericValue": item}
        elif isinstance(item, list):
            typed = {"SeparatedListValue": "\t".join(map(written, item))}
        yield {"Name": name, "TextValue": None if item is None else written(item), **typed}


def name_of(field: Field, noun: str) -> str:
    """Return the name of a field's value in the flat object: the API's name, or that of the list of the host's own fields."""
    return CUSTOM_FIELDS if field.name in custom.of_noun(noun) else api_name(noun, field.name, field.kind)


@cache
def api_name(noun: str, name: str, kind: FieldKind) -> str:
    """Return the API's name for a field: "CourseExternalId" for "course.external_id", "Expires" for "expires_at"."""
    exception = _OF_NOUN.get(noun, {}).get(name) or _OF_ALL.get(name)
    if exception:
        return exception
    words = name.removesuffix("_at") if kind is FieldKind.DATETIME else name
    spelled = "".join(word.capitalize() for word in words.replace(".", "_").split("_"))
    return f"{spelled}Id" if kind is FieldKind.STATUS else spelled


def _belongs(data: Any, name: str) -> bool:
    """Return whether the data includes a field; the fields of an object that is null, such as a feedback's class, are included."""
    first, _, rest = name.partition(".")
    if data is None or first not in data:
        return data is None
    return not rest or _belongs(data[first], rest)


def _value(field: Field, value: Any, noun: str) -> Any:
    if value is None:
        return None
    if field.kind is FieldKind.STATUS:
        return value["code"]
    if field.kind is FieldKind.OBJECTS:
        return [_flat_object(one, field.items, "") for one in value]
    if field.kind is not FieldKind.DATETIME:
        return value
    return f"{value[:19]}Z" if noun == "subscription" else _epoch(value)


def _epoch(timestamp: str) -> int:
    return math.floor(in_utc(datetime.fromisoformat(timestamp)).timestamp())
