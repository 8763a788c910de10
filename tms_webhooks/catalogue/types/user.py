"""Events of a user's account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.catalogue.schema import Field, FieldKind, Noun
from tms_webhooks.catalogue.types import references
from tms_webhooks.choices import FieldPrivacy

USER = Noun(
    "user",
    "User",
    (
        *references.identity("the user"),
        Field("user_name", FieldKind.STRING, FieldPrivacy.PERSONAL, doc="Name the user signs in with."),
        Field("title", FieldKind.STRING, FieldPrivacy.PERSONAL, doc="Title of the user."),
        Field("first_name", FieldKind.STRING, FieldPrivacy.PERSONAL, doc="First name."),
        Field("middle_name", FieldKind.STRING, FieldPrivacy.PERSONAL, doc="Middle name."),
        Field("last_name", FieldKind.STRING, FieldPrivacy.PERSONAL, doc="Last name."),
        Field("email", FieldKind.STRING, FieldPrivacy.PERSONAL, doc="E-mail address."),
        Field("phone", FieldKind.STRING, FieldPrivacy.PERSONAL, doc="Telephone number."),
        Field("phone2", FieldKind.STRING, FieldPrivacy.PERSONAL, doc="Second telephone number."),
        Field("address1", FieldKind.STRING, FieldPrivacy.PERSONAL, doc="First line of the address."),
        Field("address2", FieldKind.STRING, FieldPrivacy.PERSONAL, doc="Second line of the address."),
        Field("city", FieldKind.STRING, FieldPrivacy.PERSONAL, doc="City of the address."),
        Field("state", FieldKind.STRING, FieldPrivacy.PERSONAL, doc="State or province of the address."),
        Field("zip", FieldKind.STRING, FieldPrivacy.PERSONAL, doc="Postal code of the address."),
        Field(
            "country_code",
            FieldKind.STRING,
            FieldPrivacy.PERSONAL,
            doc='Two-letter country code of the address; "OT" for other countries.',
        ),
        Field("time_zone", FieldKind.STRING, FieldPrivacy.BASIC, doc="Id of the user's time zone."),
        Field("disabled", FieldKind.BOOLEAN, FieldPrivacy.BASIC, doc="Whether the user can't sign in."),
        Field(
            "participate_in_achievements",
            FieldKind.BOOLEAN,
            FieldPrivacy.BASIC,
            doc="Whether the user earns achievements.",
        ),
        Field("role_ids", FieldKind.IDS, FieldPrivacy.ID, doc="Ids of the user's roles."),
        references.named_objects("roles", "The user's roles. `changed` names `role_ids`.", item="the role"),
        Field(
            "managed_organization_ids",
            FieldKind.IDS,
            FieldPrivacy.ID,
            doc="Ids of the organizations that the user manages, without those below them.",
        ),
        Field(
            "closed_at",
            FieldKind.DATETIME,
            FieldPrivacy.BASIC,
            doc="When the account was closed permanently and its personal data was removed.",
        ),
        Field("merged_into.id", FieldKind.ID, FieldPrivacy.ID, doc="Id of the account that this one was merged into."),
        references.external_id("merged_into.external_id", "the account that this one was merged into"),
        *references.organization("the user's organization"),
        Field("company.id", FieldKind.ID, FieldPrivacy.ID, doc="Id of the user's company."),
        *references.person("manager", "the user's manager"),
        *references.record_times(),
    ),
)

_SAMPLE: Mapping[str, Any] = {
    "id": 5012,
    "external_id": "E-20417",
    "user_name": "alice.larsen",
    "title": None,
    "first_name": "Alice",
    "middle_name": None,
    "last_name": "Larsen",
    "email": "alice.larsen@example.com",
    "phone": "+31 20 555 0117",
    "phone2": None,
    "address1": "Keizersgracht 100",
    "address2": None,
    "city": "Amsterdam",
    "state": None,
    "zip": "1015 AA",
    "country_code": "NL",
    "time_zone": "W. Europe Standard Time",
    "disabled": False,
    "participate_in_achievements": True,
    "role_ids": [3],
    "roles": [{"id": 3, "external_id": None, "name": "Student"}],
    "managed_organization_ids": [],
    "closed_at": None,
    "merged_into": {"id": None, "external_id": None},
    "organization": references.SAMPLE_ORGANIZATION,
    "company": {"id": None},
    "manager": {
        "id": 4207,
        "external_id": "E-10880",
        "first_name": "Charlie",
        "last_name": "Novak",
        "email": "charlie.novak@example.com",
    },
    "created_at": "2025-02-03T10:00:00.000Z",
    "updated_at": "2026-11-24T15:04:05.123Z",
}

_CLOSED: Mapping[str, Any] = {
    **_SAMPLE,
    "external_id": None,
    "user_name": "closed-5012",
    "first_name": "Former",
    "last_name": "Learner",
    "email": "closed-5012@accounts.invalid",
    "phone": None,
    "address1": None,
    "city": None,
    "zip": None,
    "country_code": None,
    "disabled": True,
    "role_ids": [],
    "roles": [],
    "closed_at": "2026-11-24T15:04:05.000Z",
    "manager": dict.fromkeys(["id", "external_id", "first_name", "last_name", "email"]),
}

EVENT_TYPES = (
    EventType(
        "user.created",
        USER,
        "A user's account was created.",
        sample={**_SAMPLE, "created_at": "2026-11-24T15:04:05.123Z"},
    ),
    EventType(
        "user.updated",
        USER,
        "A user's record changed, or the user's roles.",
        sample=_SAMPLE,
        sample_previous={"last_name": "Jensen", "email": "alice.jensen@example.com"},
    ),
    EventType(
        "user.activated",
        USER,
        "A user's account was enabled again.",
        sample=_SAMPLE,
        sample_previous={"disabled": True},
    ),
    EventType(
        "user.deactivated",
        USER,
        "A user's account was disabled.",
        sample={**_SAMPLE, "disabled": True},
        sample_previous={"disabled": False},
    ),
    EventType(
        "user.closed",
        USER,
        "A user's account was closed permanently: the data and the old values contain no personal data.",
        sample=_CLOSED,
        sample_previous={"external_id": "E-20417", "disabled": False, "closed_at": None},
    ),
    EventType(
        "user.merged",
        USER,
        "A user's account was merged into another one, which now has its records. Replace its id with that of the other "
        "account. The merged account may be deleted afterwards.",
        sample={**_SAMPLE, "merged_into": {"id": 5040, "external_id": "E-20981"}},
        sample_previous={"merged_into": {"id": None}},
    ),
    EventType(
        "user.deleted",
        USER,
        "A user's account was deleted; the data is its last state.",
        sample={**_SAMPLE, "disabled": True},
    ),
)
