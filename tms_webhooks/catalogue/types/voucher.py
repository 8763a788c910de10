"""Events of vouchers. A voucher is redeemed in two steps: for a class, and then by a learner who takes the seat.

A voucher's code and the keys made from it are credentials: they are in no payload.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.catalogue.schema import Field, FieldKind, Noun
from tms_webhooks.catalogue.types import references
from tms_webhooks.choices import ActorKind, FieldPrivacy

VOUCHER = Noun(
    "voucher",
    "Voucher",
    (
        *references.identity("the voucher"),
        Field("order_id", FieldKind.ID, FieldPrivacy.ID, doc="Id of the order that the voucher was bought with."),
        Field("quantity", FieldKind.INTEGER, FieldPrivacy.BASIC, doc="How many seats were redeemed."),
        Field("redeemed_at", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="When the voucher was redeemed."),
        Field("expires_at", FieldKind.DATETIME, FieldPrivacy.BASIC, doc="When the voucher can no longer be redeemed."),
        *references.course(),
        *references.training_class(),
        *references.person("user", "the user who redeemed the voucher"),
        *references.organization("the organization that holds the voucher"),
        Field("redemption.id", FieldKind.ID, FieldPrivacy.ID, doc="Id of the record of this redemption."),
        Field(
            "enrollment.id",
            FieldKind.ID,
            FieldPrivacy.ID,
            doc="Id of the enrollment of the learner who took the seat; null until then.",
        ),
        *references.record_times(),
    ),
)

_SAMPLE: Mapping[str, Any] = {
    "id": 9001,
    "external_id": "V-9001",
    "order_id": "ORD-2026-1187",
    "quantity": 1,
    "redeemed_at": "2026-11-24T15:04:05.000Z",
    "expires_at": "2027-01-30T00:00:00.000Z",
    "course": references.SAMPLE_COURSE,
    "class": references.SAMPLE_CLASS,
    "user": references.SAMPLE_LEARNER,
    "organization": references.SAMPLE_ORGANIZATION,
    "redemption": {"id": 415},
    "enrollment": {"id": 70031},
    "created_at": "2026-11-01T00:00:00.000Z",
    "updated_at": "2026-11-24T15:04:05.123Z",
}

_UNUSED: Mapping[str, Any] = {
    **_SAMPLE,
    "redeemed_at": None,
    "class": dict.fromkeys(references.SAMPLE_CLASS),
    "user": dict.fromkeys(references.SAMPLE_LEARNER),
    "redemption": {"id": None},
    "enrollment": {"id": None},
}

EVENT_TYPES = (
    EventType("voucher.created", VOUCHER, "An organization got a voucher.", sample=_UNUSED),
    EventType(
        "voucher.updated",
        VOUCHER,
        "A voucher changed in something other than its redemption, such as its expiration.",
        sample=_UNUSED,
        sample_previous={"expires_at": "2026-12-31T00:00:00.000Z"},
    ),
    EventType(
        "voucher.redeemed",
        VOUCHER,
        "A voucher was redeemed: for a class, or by a learner who took the seat.",
        sample=_SAMPLE,
        sample_previous={"redeemed_at": None, "enrollment": {"id": None}},
    ),
    EventType(
        "voucher.returned",
        VOUCHER,
        "A redeemed voucher was returned: it can be redeemed again.",
        sample=_UNUSED,
        sample_previous={
            "redeemed_at": "2026-11-10T09:00:00.000Z",
            "class": {"id": 8840},
            "user": {"id": 5012},
        },
    ),
    EventType(
        "voucher.expiring",
        VOUCHER,
        "A voucher that is not redeemed entered a window of days before its expiration.",
        sample={
            **_UNUSED,
            "expires_at": references.SAMPLE_EXPIRES_AT,
            "updated_at": "2026-11-01T00:00:00.000Z",
        },
        sample_details=references.SAMPLE_WINDOW,
        details=references.window(),
        needs=("expires_at",),
        sample_actor=ActorKind.SYSTEM,
    ),
    EventType("voucher.deleted", VOUCHER, "A voucher was deleted; the data is its last state.", sample=_UNUSED),
)
