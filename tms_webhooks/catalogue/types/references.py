"""Fields of referenced objects, the same in every noun, so that receivers need no further API requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tms_webhooks.catalogue.schema import Field, FieldKind
from tms_webhooks.choices import FieldPrivacy

NOUN_OF_REFERENCE: Mapping[str, str] = {
    **dict.fromkeys(("instructor", "manager", "merged_into"), "user"),
    **dict.fromkeys(("learner_organization", "parent"), "organization"),
}
"""The nouns of references that have another name than the noun."""


def identity(label: str) -> tuple[Field, ...]:
    """Return the ids of an event's subject itself."""
    return (
        Field("id", FieldKind.ID, FieldPrivacy.ID, required=True, doc=f"Id of {label}."),
        external_id("external_id", label),
    )


def external_id(name: str, label: str) -> Field:
    """Return the field of an id that the customer gave to an object."""
    return Field(name, FieldKind.ID, FieldPrivacy.ID, doc=f"External id of {label}: the id in your own system.")


def record_times() -> tuple[Field, ...]:
    """Return the times when the subject's record was created and last changed."""
    return (
        Field("created_at", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="When the record was created."),
        Field("updated_at", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="When the record was last changed."),
    )


def reference(prefix: str, label: str, *, required: bool = False) -> tuple[Field, ...]:
    """Return the ids and the name of a referenced object. ``required``: the id is never null."""
    return (
        Field(f"{prefix}.id", FieldKind.ID, FieldPrivacy.ID, required=required, doc=f"Id of {label}."),
        external_id(f"{prefix}.external_id", label),
        Field(f"{prefix}.name", FieldKind.STRING, FieldPrivacy.BASIC, doc=f"Name of {label}."),
    )


def person(prefix: str, label: str, *, required: bool = False) -> tuple[Field, ...]:
    """Return the ids, name and e-mail address of a person. ``required``: the id is never null."""
    ids = reference(prefix, label, required=required)[:2]
    return (
        *ids,
        Field(f"{prefix}.first_name", FieldKind.STRING, FieldPrivacy.PERSONAL, doc=f"First name of {label}."),
        Field(f"{prefix}.last_name", FieldKind.STRING, FieldPrivacy.PERSONAL, doc=f"Last name of {label}."),
        Field(f"{prefix}.email", FieldKind.STRING, FieldPrivacy.PERSONAL, doc=f"E-mail address of {label}."),
    )


def people(name: str, label: str) -> Field:
    """Return a list of persons with their ids, names and e-mail addresses, as in `person`."""
    items = (
        Field("id", FieldKind.ID, FieldPrivacy.ID, required=True, doc="Id of the person."),
        external_id("external_id", "the person"),
        Field("first_name", FieldKind.STRING, FieldPrivacy.PERSONAL, doc="First name of the person."),
        Field("last_name", FieldKind.STRING, FieldPrivacy.PERSONAL, doc="Last name of the person."),
        Field("email", FieldKind.STRING, FieldPrivacy.PERSONAL, doc="E-mail address of the person."),
    )
    return Field(name, FieldKind.OBJECTS, FieldPrivacy.BASIC, items=items, doc=label)


def named_objects(name: str, label: str, *, item: str) -> Field:
    """Return a list of objects with their ids and names, as in `reference`. ``item`` is one of them, such as "the role"."""
    items = (
        Field("id", FieldKind.ID, FieldPrivacy.ID, required=True, doc=f"Id of {item}."),
        external_id("external_id", item),
        Field("name", FieldKind.STRING, FieldPrivacy.BASIC, doc=f"Name of {item}."),
    )
    return Field(name, FieldKind.OBJECTS, FieldPrivacy.BASIC, items=items, doc=label)


def learner(*, required: bool = True) -> tuple[Field, ...]:
    """Return the fields of the learner, under "user"."""
    return person("user", "the learner", required=required)


def course(*, required: bool = False) -> tuple[Field, ...]:
    """Return the fields of the course, under "course"."""
    return reference("course", "the course", required=required)


def training_class(*, required: bool = False) -> tuple[Field, ...]:
    """Return the fields of the class, under "class"."""
    return (
        *reference("class", "the class", required=required),
        Field("class.start_at", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="When the class starts."),
        Field("class.end_at", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="When the class ends."),
    )


def organization(label: str) -> tuple[Field, ...]:
    """Return the fields of the organization, under "organization"."""
    return reference("organization", label)


def window() -> tuple[Field, ...]:
    """Return the details of an event about the window of days that the subject entered."""
    return (
        Field(
            "days_left",
            FieldKind.NUMBER,
            FieldPrivacy.BASIC,
            required=True,
            doc="Days until it expires, with fractions: never more than are left.",
        ),
        Field(
            "late",
            FieldKind.BOOLEAN,
            FieldPrivacy.BASIC,
            required=True,
            doc="Whether the event comes later than it should, because no scan ran in time. The object may have left the "
            "window.",
        ),
        Field(
            "window.more_than_days",
            FieldKind.NUMBER,
            FieldPrivacy.BASIC,
            doc="More days than this are left; null if the window has no such limit.",
        ),
        Field(
            "window.less_than_days",
            FieldKind.NUMBER,
            FieldPrivacy.BASIC,
            doc="Fewer days than this are left; null if the window has no such limit.",
        ),
    )


SAMPLE_LEARNER: Mapping[str, Any] = {
    "id": 5012,
    "external_id": "E-20417",
    "first_name": "Alice",
    "last_name": "Larsen",
    "email": "alice.larsen@example.com",
}
SAMPLE_COURSE: Mapping[str, Any] = {"id": 301, "external_id": "AZ-104", "name": "Azure Administrator"}
SAMPLE_CLASS: Mapping[str, Any] = {
    "id": 8840,
    "external_id": "AZ-104-2026-12",
    "name": "Azure Administrator, December",
    "start_at": "2026-12-07T08:00:00.000Z",
    "end_at": "2026-12-11T16:00:00.000Z",
}
SAMPLE_ORGANIZATION: Mapping[str, Any] = {"id": 12, "external_id": "ACME-EU", "name": "Acme Europe"}
SAMPLE_SUBSCRIPTION: Mapping[str, Any] = {"id": 640, "external_id": "SUB-640", "name": "Azure Library"}
# The fields of `window` for an object that expires on December 22 at 03:04:05.
SAMPLE_WINDOW: Mapping[str, Any] = {
    "days_left": 27.5,
    "late": False,
    "window": {"more_than_days": 7, "less_than_days": 30},
}
SAMPLE_EXPIRES_AT = "2026-12-22T03:04:05.000Z"
