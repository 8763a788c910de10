"""Talks as a noun of a host's own: with lists of ids behind a table of the host's, and behind a relation to itself."""

from tms_webhooks import sources
from tms_webhooks.catalogue.event_type import EventType
from tms_webhooks.catalogue.schema import Field, FieldKind, Noun
from tms_webhooks.catalogue.types import references
from tms_webhooks.choices import FieldPrivacy

TALK = Noun(
    "talk",
    "Talk",
    (
        Field("id", FieldKind.ID, FieldPrivacy.ID, required=True),
        Field("title", FieldKind.STRING, FieldPrivacy.BASIC),
        Field("speaker_ids", FieldKind.IDS, FieldPrivacy.ID),
        Field("kindred_ids", FieldKind.IDS, FieldPrivacy.ID),
        Field("prize_ids", FieldKind.IDS, FieldPrivacy.ID),
        *references.organization("the organization that holds the talk"),
    ),
)

EVENT_TYPES = tuple(
    EventType(f"talk.{verb}", TALK, f"A talk was {verb}.", sample={"id": 1}) for verb in ("changed", "deleted")
)


class TalkSource(sources.Source):
    noun = TALK
    fields = {"speaker_ids": "speakers", "kindred_ids": "kindred", "prize_ids": "prizes"}
    rules = (sources.AnyChange("talk.changed"), sources.Deleted("talk.deleted"))
