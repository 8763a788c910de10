"""A noun of a host's own making, its event types, and the sources by which the test app's models tell them."""

from tms_webhooks import sources
from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.catalogue.schema import Field, FieldKind, Noun
from tms_webhooks.catalogue.types import references
from tms_webhooks.choices import ClassStatus, FieldPrivacy

WORKSHOP = Noun(
    "workshop",
    "Workshop",
    (
        Field("id", FieldKind.ID, FieldPrivacy.ID, required=True),
        Field("title", FieldKind.STRING, FieldPrivacy.BASIC, required=True),
        Field("state", FieldKind.STATUS, FieldPrivacy.BASIC, choices=ClassStatus),
        Field("seats", FieldKind.INTEGER, FieldPrivacy.BASIC),
        Field("headline", FieldKind.STRING, FieldPrivacy.BASIC),
        Field("updated_at", FieldKind.DATETIME, FieldPrivacy.BASIC),
        *references.organization("the organization that holds the workshop"),
    ),
)

_SAMPLE = {"id": 1, "title": "Pair programming", "organization": references.SAMPLE_ORGANIZATION}

EVENT_TYPES = tuple(
    EventType(f"workshop.{verb}", WORKSHOP, f"A workshop was {verb}.", sample=_SAMPLE)
    for verb in ("created", "changed", "cancelled", "deleted")
) + (
    EventType(
        "workshop.recommended",
        WORKSHOP,
        "A workshop was recommended.",
        sample=_SAMPLE,
        details=(
            Field("by.name", FieldKind.STRING, FieldPrivacy.PERSONAL),
            Field("at", FieldKind.DATETIME, FieldPrivacy.BASIC),
        ),
    ),
)


class WorkshopSource(sources.Source):
    """Tells each of its events but the last, which is for `emit`. It leaves out what only Python could read."""

    noun = WORKSHOP
    fields = {"headline": None}
    statuses = {"state": {"planned": 0, "called off": "cancelled"}}
    rules = (
        sources.Created("workshop.created"),
        sources.AnyChange("workshop.changed"),
        sources.Entered("state", {ClassStatus.CANCELLED: "workshop.cancelled"}),
        sources.Deleted("workshop.deleted"),
    )
