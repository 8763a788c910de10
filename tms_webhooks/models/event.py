"""The outbox: one row for each event, the sequence of each object, the ends of the feed, and how far pruning has come.

An event is written in the transaction of the change. The events of one object are few, so their keys are read first. A
query that also has an order and an organization then reads only these rows. Otherwise a database may read all events of
the organization in that order.
"""

from __future__ import annotations

import copy
import hashlib
import os
import re
import time
import uuid
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from unicodedata import normalize

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from tms_webhooks import event_names
from tms_webhooks.actors import LONGEST_ACTOR_ID
from tms_webhooks.catalogue import registry
from tms_webhooks.choices import Audience
from tms_webhooks.db.sql import KeyIn, PrimaryManager, numbers
from tms_webhooks.exceptions import SubjectError
from tms_webhooks.models.audience import EventOrganizations, SubscriberScope, ancestors, visible_to
from tms_webhooks.models.organization import organization_model
from tms_webhooks.models.public_ids import PublicIDModel
from tms_webhooks.models.subscription import Subscription
from tms_webhooks.models.webhook import Webhook

PUBLIC_PREFIX = "evt_"
ONLY_ENDS = 1
"""The key of the one row of `FeedEnds`."""

LEARNERS_ELSEWHERE = Q(learner_organization__isnull=False) & ~Q(learner_organization=F("organization"))
"""Events of learners who learn at an organization that is not their own."""

LOOSE: Mapping[str, Any] = {
    "on_delete": models.DO_NOTHING,
    "related_name": "+",
    "db_constraint": False,
    "db_index": False,
}
"""The options of a reference that stays as it is when the other row is deleted."""

LONGEST_SUBJECT_KEY = 64
LONGEST_EXTERNAL_ID = 64
LONGEST_SUBJECT_NAME = 120
LONGEST_TRACEPARENT = 55
LONGEST_SEARCHED_NAME = 2 * LONGEST_SUBJECT_NAME
"""Characters: a letter may become two, as "ß" does. A sign that becomes more may be cut."""
OUTSIDE_THE_FEED = 0
"""The position of an event that is in no feed; positions in the feed begin with 1."""
LATEST = 500
"""The number of events of an organization among which `EventQuerySet.latest_of` looks."""
ACCENTS = re.compile("[\u0300-\u036f]")
STROKES = str.maketrans("øłđı", "oldi")
"""Letters that Unicode does not divide into a letter and an accent."""


def time_ordered_uuid() -> uuid.UUID:
    """Return a UUID of version 7 (RFC 9562), which begins with the time, so that new ones are inserted at one end of the index."""
    milliseconds = time.time_ns() // 1_000_000
    number = (milliseconds << 80) | int.from_bytes(os.urandom(10))
    number = number & ~(0xF000 << 64) & ~(0xC000 << 48) | (0x7000 << 64) | (0x8000 << 48)
    return uuid.UUID(int=number)


def subject_key(value: Any) -> str:
    """Return an object's key as the text in ``Event.subject_id``: as in its payload, or a digest if it is too long."""
    text = str(value)
    return text if len(text) <= LONGEST_SUBJECT_KEY else hashlib.sha256(text.encode()).hexdigest()


def owned_key(subject_id: str, organization: Any) -> str:
    """Return the key by which the events of one of several owners of an object are numbered."""
    return subject_key(f"{subject_id}@{subject_key(organization)}")


def numbered(body: str, sequence: int | None) -> str:
    """Return the body of an event with its number. It is stored without one, so that no body is written a second time."""
    # The first key is the envelope's own: before it are values of the app alone, and strings escape quotation marks.
    # A body that was stored with its number keeps it, whatever JSON of the host follows.
    before, key, after = body.partition('"sequence":null')
    return body if sequence is None or not key or '"sequence":' in before else f'{before}"sequence":{sequence}{after}'


def searchable(name: str) -> str:
    """Return a name as `Event.searched_name` has it: in lower case and without accents, cut to the column."""
    if not name.isascii():
        # Composed again at the end: a Korean syllable is three characters otherwise.
        name = normalize("NFC", ACCENTS.sub("", normalize("NFKD", name).casefold()).translate(STROKES))
    return name.lower()[:LONGEST_SEARCHED_NAME]


def subject_number(subject_type: str, subject_id: str) -> int:
    """Return a 64-bit hash of an object, the same on every machine.

    Where two objects share one, ordered deliveries of one wait for those of the other.
    """
    digest = hashlib.sha256(f"{subject_type}:{subject_id}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)


class SubjectNumberField(models.BigIntegerField):  # type: ignore[type-arg]
    """Holds `subject_number` of the row's subject, computed whenever the row is written."""

    def pre_save(self, model_instance: models.Model, add: bool) -> int:  # noqa: FBT001 (Django's signature)
        """Compute the number."""
        number = subject_number(model_instance.subject_type, model_instance.subject_id)  # type: ignore[attr-defined]
        setattr(model_instance, self.attname, number)
        return number


class ExactCharField(models.CharField):  # type: ignore[type-arg]
    """A text of the host's that is compared exactly: MariaDB ignores case, accents and trailing spaces otherwise."""

    def db_parameters(self, connection: Any) -> Any:
        """Return the type of the column with its collation, by Django's convention."""
        collation = "utf8mb4_nopad_bin" if connection.vendor == "mysql" else None
        return {**super().db_parameters(connection), "collation": collation}


class EventQuerySet(models.QuerySet["Event"]):
    """Filters for events."""

    def to_fan_out(self) -> EventQuerySet:
        """Keep those that have no deliveries yet, oldest first. Served by the index ``tms_event_to_fan_out``."""
        return self.filter(fanned_out_at__isnull=True).order_by("pk")

    def set_aside(self) -> EventQuerySet:
        """Keep those whose fan-out failed `MOST_TRIES` times."""
        return self.filter(pk__in=FanOutFailure._base_manager.filter(tries=MOST_TRIES).values("pk"))

    def put_back(self) -> int:
        """Have those that are set aside fanned out again; return their number. Call it in a transaction."""
        keys = numbers(self.set_aside().values_list("pk", flat=True))
        failures = FanOutFailure.objects.filter(KeyIn(F("pk"), keys))
        events = Event.objects.using(failures.db).filter(KeyIn(F("pk"), keys))
        # The feed shows them as new events.
        events.filter(sequence__isnull=True).update(position=None)
        failures.delete()
        return events.update(fanned_out_at=None)

    def with_external_id(self, external_id: str) -> EventQuerySet:
        """Keep those of objects with this external id."""
        # The first condition is implied by the second; it lets the database use a partial index.
        return self.filter(external_id__gt="", external_id=external_id)

    def latest_of(self, organizations: Collection[Any], event_type: str) -> EventQuerySet:
        """Keep those of a type with a body that are among the latest of each of these organizations, newest first.

        The index ``tms_event_feed_of_owner`` serves each organization.
        """
        rows = self.filter(position__gt=OUTSIDE_THE_FEED, webhook__isnull=True).order_by("-position")
        pks = rows.values_list("pk", flat=True)
        keys = {pk for organization in organizations for pk in pks.filter(organization=organization)[:LATEST]}
        return rows.filter(visible_to(organizations), pk__in=keys, type=event_type).exclude(body="")

    def named(self, text: str) -> EventQuerySet:
        """Keep those whose names contain each word of a text, in any order, whatever its case and accents.

        Limit ``occurred_at``, too: it leads the index.
        """
        return self.filter(*(Q(searched_name__contains=word) for word in searchable(text).split()))

    def unnumbered(self) -> EventQuerySet:
        """Keep new events that have no sequence number yet, oldest first."""
        return self.filter(fanned_out_at__isnull=True, sequence__isnull=True).order_by("pk")

    def not_for(self, keys: Collection[int]) -> list[tuple[int, int]]:
        """Return pairs of the key of one of these events of moves, and that of a webhook of its organizations that it is not for."""
        events = self.in_bulk(keys)
        lineages = ancestors({key for event in events.values() for key in event.organizations.keys}, using=self.db)
        webhooks = Webhook.objects.using(self.db).filter(organization__in=set().union(*lineages.values()))
        rows = webhooks.values_list("pk", "organization_id", "audience", "include_children")
        return [
            (pk, webhook)
            for webhook, organization, audience, children in rows
            for pk, event in events.items()
            if not SubscriberScope(organization, audience, children).matches(event.organizations, lineages)
        ]

    def without_position(self) -> EventQuerySet:
        """Keep those that have no position in the feed yet, oldest first. Served by the index ``tms_event_feed``."""
        return self.filter(position__isnull=True).order_by("pk")


class Event(PublicIDModel):
    """One change of one object. Its public id is the same for every webhook, every retry and every replay."""

    PUBLIC_PREFIX = PUBLIC_PREFIX

    uid = models.UUIDField(_("id"), default=time_ordered_uuid, unique=True, editable=False)
    type = models.CharField(_("type"), max_length=100)
    version = models.PositiveSmallIntegerField(_("schema version"), default=1)
    # Null until the copies of an event about what no organization owns are made; then it is deleted.
    organization = models.ForeignKey(
        organization_model(),
        on_delete=models.CASCADE,
        null=True,
        related_name="+",
        # The index tms_event_feed_of_owner begins with it.
        db_index=False,
        verbose_name=_("organization"),
    )
    # As of the event time; empty for events without a learner. They belong to the other organization, too.
    learner_organization = models.ForeignKey(
        organization_model(), null=True, blank=True, verbose_name=_("learner organization"), **LOOSE
    )
    # Of an object that moves: the organizations on the other side, see `EventOrganizations.other`.
    other_organization = models.ForeignKey(organization_model(), null=True, editable=False, **LOOSE)
    other_learner_organization = models.ForeignKey(organization_model(), null=True, editable=False, **LOOSE)
    subject_type = models.CharField(_("subject type"), max_length=50)
    subject_id = ExactCharField(_("subject id"), max_length=LONGEST_SUBJECT_KEY)
    # The object's id in the customer's own system, to search by; empty without one or if it is longer.
    external_id = models.CharField(_("external id"), max_length=LONGEST_EXTERNAL_ID, blank=True, default="")
    # The names of the learner and the object, to show and, as `searchable` returns them, to search by. They are as private as
    # the body, and are blanked with it.
    subject_name = models.CharField(_("name"), max_length=LONGEST_SUBJECT_NAME, blank=True, default="", editable=False)
    searched_name = models.CharField(max_length=LONGEST_SEARCHED_NAME, blank=True, default="", editable=False)
    # The subject as one number, for ordered deliveries of one object.
    subject_key = SubjectNumberField(editable=False)
    # Null until the event is fanned out, and for a test send.
    sequence = models.PositiveIntegerField(_("sequence"), null=True, editable=False)
    # Whether each of the object's owners has numbers of its own, because there may be several.
    numbered_by_owner = models.BooleanField(default=False, editable=False)
    # Whether another organization owns the object. Such a copy is for webhooks of its own organization alone, not for those of
    # organizations above: they have copies of their own.
    is_copy = models.BooleanField(default=False, editable=False)
    actor_kind = models.CharField(_("actor kind"), max_length=20)
    actor_id = models.CharField(_("actor id"), max_length=LONGEST_ACTOR_ID, blank=True, default="")
    # The span in which the event was recorded, as W3C Trace Context writes it; null without tracing.
    traceparent = models.CharField(max_length=LONGEST_TRACEPARENT, null=True, editable=False)  # noqa: DJ001 (NULL takes no bytes)
    occurred_at = models.DateTimeField(_("occurred at"))
    body = models.TextField(_("body"), blank=True, default="")
    error = models.TextField(_("error"), blank=True, default="")
    fanned_out_at = models.DateTimeField(_("fanned out at"), null=True, editable=False)
    # The place in the catch-up feed. Assigned after the commit, because transactions commit in another order than keys.
    position = models.BigIntegerField(_("position"), null=True, editable=False)
    # Otherwise an event for one subscription would become one for all when the subscription is deleted. So with the webhook.
    subscription = models.ForeignKey(
        Subscription,
        null=True,
        blank=True,
        verbose_name=_("subscription"),
        help_text=_("Set if the event is for this subscription only, such as an expiry window."),
        **LOOSE,
    )
    # Set if the event is for this webhook only, as an event of a snapshot is.
    webhook = models.ForeignKey(Webhook, null=True, blank=True, verbose_name=_("webhook"), **LOOSE)
    # The key of the snapshot job that made the event; 0 for other events. Not null, because NULL is equal to no other
    # value in a unique constraint.
    snapshot_job = models.BigIntegerField(default=0, editable=False)

    organization_id: Any
    learner_organization_id: Any
    other_organization_id: Any
    other_learner_organization_id: Any
    subscription_id: int | None
    webhook_id: int | None

    objects = EventQuerySet.as_manager()

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        ordering = ("-pk",)
        indexes = [
            # EventQuerySet.to_fan_out; the oldest events of each organization.
            models.Index(
                fields=["fanned_out_at", "organization", "id"],
                name="tms_event_to_fan_out",
                condition=Q(fanned_out_at__isnull=True),
            ),
            # worker/statements.py: is an earlier event of the same object still to be fanned out?
            models.Index(
                fields=["subject_key"], name="tms_event_object_to_fan_out", condition=Q(fanned_out_at__isnull=True)
            ),
            # Events to prune, in this order; events of a period; EventQuerySet.named, which reads this index alone.
            models.Index(fields=["occurred_at", "id", "searched_name"], name="tms_event_by_age"),
            # EventQuerySet.with_external_id. Partial, because most objects have no external id.
            models.Index(fields=["external_id"], name="tms_event_by_external_id", condition=Q(external_id__gt="")),
            # Events of an organization's learners. Partial: those of its own objects are found by the owner.
            models.Index(
                fields=["learner_organization", "id"],
                name="tms_event_by_learner",
                condition=LEARNERS_ELSEWHERE,
            ),
            # EventQuerySet.without_position; the feed across organizations.
            models.Index(fields=["position", "id"], name="tms_event_feed"),
            # The feed of an organization.
            models.Index(fields=["organization", "position"], name="tms_event_feed_of_owner"),
            # The feed of an organization: events of its learners at other organizations.
            models.Index(
                fields=["learner_organization", "position"],
                name="tms_event_feed_of_learner",
                condition=LEARNERS_ELSEWHERE,
            ),
            # The events of snapshots in the feed of a webhook.
            models.Index(
                fields=["webhook", "position"], name="tms_event_for_webhook", condition=Q(webhook__isnull=False)
            ),
        ]
        constraints = [
            # Also the index for the events of one object. A snapshot has the number of the object's last event. Each of
            # several owners has numbers of its own. There are both where a source has had one owner and gets several.
            models.UniqueConstraint(
                fields=["subject_type", "subject_id", "sequence", "snapshot_job", "organization", "numbered_by_owner"],
                name="tms_event_sequence_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.public_id}"

    @classmethod
    def from_db(cls, *args: Any, **options: Any) -> Event:
        """Return a stored event, with its number in its body."""
        event = super().from_db(*args, **options)
        if "body" in vars(event):
            event.body = numbered(event.body, event.sequence)
        return event

    def refresh_from_db(  # type: ignore[override]  # `options` have from_queryset.
        self, using: Any = None, fields: Any = None, **options: Any
    ) -> None:
        """Read the number in the query that reads the body."""
        super().refresh_from_db(using, [*fields, "sequence"] if "body" in (fields or ()) else fields, **options)

    @property
    def viewers(self) -> set[Any]:
        """The keys of the organizations whose users may view it. With the right there, they may see its payload."""
        return {self.organization_id, self.learner_organization_id} - {None}

    @property
    def organizations(self) -> EventOrganizations:
        """The organizations that it belongs to, with those of the other side of a move."""
        own = EventOrganizations(self.organization_id, self.learner_organization_id)
        if self.other_organization_id is None:
            return own
        other = EventOrganizations(self.other_organization_id, self.other_learner_organization_id)
        return own._replace(other=other, stays=not event_names.is_move(self.type))

    @property
    def sequence_key(self) -> str:
        """The key by which the events of the object are numbered."""
        return owned_key(self.subject_id, self.organization_id) if self.numbered_by_owner else self.subject_id

    @property
    def of_same_object(self) -> EventQuerySet:
        """The events of its object, with itself. Served by the unique constraint ``tms_event_sequence_once``."""
        events = Event.objects.using(self._state.db)
        return events.filter(subject_type=self.subject_type, subject_id=self.subject_id).order_by()

    def copy_for(self, organization_id: Any) -> Event:
        """Return an unsaved copy of a new event for another organization. Its body is to be replaced."""
        one = copy.copy(self)
        one.pk, one.uid, one.sequence = None, time_ordered_uuid(), None
        one.is_copy = one.numbered_by_owner = True
        one.organization_id = one.learner_organization_id = organization_id
        one.other_organization_id = one.other_learner_organization_id = None
        return one


def conditions_of(scope: SubscriberScope, organizations: Collection[Any]) -> list[Q]:
    """Return filters for the events of these organizations, each served by an index in the order of the feed.

    They include all events that a webhook with this scope receives, and those of its own objects, whatever its audience is.
    """
    own = Q(organization__in=organizations)
    if scope.audience == Audience.OWNER:
        return [own]
    return [own, Q(LEARNERS_ELSEWHERE, learner_organization__in=organizations)]


class EventSequenceManager(models.Manager["EventSequence"]):
    """Reads the numbers of events; `outbox.numbers` gives them."""

    def current(self, subject_type: str, subject_ids: Collection[str], *, using: str) -> dict[str, int]:
        """Return the number of the last event of each of these objects; those without an event are left out.

        Events that are not fanned out have no number yet. By the unique constraint ``tms_event_sequence_of_subject``.
        """
        rows = self.using(using).filter(subject_type=subject_type, subject_id__in=subject_ids)
        return dict(rows.values_list("subject_id", "last"))

    def catch_up(self, event: Event, organizations: Collection[Any]) -> None:
        """Raise the numbers of an object's copies, so that the last new copy of each of these organizations comes after its events.

        An organization may have owned the object before, or own it later: of its events, each number is given once. The
        caller holds the lock with which numbers are given.
        """
        using, kind, own = str(event._state.db), event.subject_type, event.subject_id
        last = self.current(kind, [own], using=using).get(own, 0)
        new = event.of_same_object.filter(is_copy=True, sequence__isnull=True, organization__in=organizations)
        by_number: dict[int, list[str]] = {}
        for key, many in new.values_list("organization_id").annotate(models.Count("pk")) if last else ():
            by_number.setdefault(last + 1 - many, []).append(owned_key(own, key))
        for number, keys in by_number.items():
            if number > 0:
                rows = [self.model(subject_type=kind, subject_id=key, last=number) for key in keys]
                self.using(using).bulk_create(rows, ignore_conflicts=True)
                self.using(using).filter(subject_type=kind, subject_id__in=keys, last__lt=number).update(last=number)


class EventSequence(models.Model):
    """The number of the last event of one object. It outlives the events, which are pruned."""

    subject_type = models.CharField(max_length=50)
    subject_id = ExactCharField(max_length=64)
    last = models.PositiveIntegerField()

    objects = EventSequenceManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["subject_type", "subject_id"], name="tms_event_sequence_of_subject"),
        ]


class FeedEndsManager(PrimaryManager["FeedEnds"]):
    """Reads the one row."""

    def current(self) -> FeedEnds:
        """Return the ends; an unsaved row of zeros before the first event is published."""
        return self.filter(pk=ONLY_ENDS).first() or self.model(pk=ONLY_ENDS)

    def locked(self) -> FeedEnds | None:
        """Return the ends, locked until the current transaction ends; None if another transaction has locked them."""
        rows = self.filter(pk=ONLY_ENDS)
        if not rows.exists():
            self.bulk_create([self.model(pk=ONLY_ENDS)], ignore_conflicts=True)
        return rows.select_for_update(skip_locked=True).first()


class FeedEnds(models.Model):
    """The last position that was assigned to an event, and the last one of a deleted event."""

    published = models.BigIntegerField(default=0)
    forgotten = models.BigIntegerField(default=0)

    objects = FeedEndsManager()


class PruneCursor(models.Model):
    """The last event whose payload was blanked or noted as a `KeptPayload`: the only row. All older ones are done."""

    occurred_at = models.DateTimeField()
    # Not a foreign key: the event is deleted later.
    event_id = models.BigIntegerField()

    objects = PrimaryManager["PruneCursor"]()


class KeptPayload(models.Model):
    """An event whose payload was old enough to be blanked, but was needed: pruning comes back to it.

    Needed means: a delivery was open, or another transaction had locked the event.
    """

    # Not a foreign key: the event may be deleted first.
    event_id = models.BigIntegerField(primary_key=True)

    objects = PrimaryManager["KeptPayload"]()


MOST_TRIES = 5
"""After so many tries that failed, an event is set aside."""


class FanOutFailureManager(PrimaryManager["FanOutFailure"]):
    """Counts tries."""

    def count_try(self, event_id: int, error: str, *, now: datetime) -> int:
        """Count a try of a new event that failed; return how many there were, or 0 if another drain counted it or fanned it out.

        After each try the pause doubles, from one second on. With the last one, the event is set aside: it waits no longer, so
        that no other event waits for it. Call it in a transaction.
        """
        # Locked, so that no drain fans it out now, and two of them count one try.
        rows = self.filter(pk=event_id)
        event = Event.objects.using(rows.db).select_for_update().to_fan_out().filter(pk=event_id).first()
        row = rows.first() or self.model(pk=event_id, tries=0, retry_at=now)
        if event is None or row.retry_at > now:
            return 0
        row.tries, row.error = row.tries + 1, error
        row.retry_at = now + timedelta(seconds=2 ** (row.tries - 1))
        row.save(using=rows.db)
        if row.tries == MOST_TRIES:
            # Without a number, the feed can't show it.
            event.fanned_out_at, event.position = now, OUTSIDE_THE_FEED if event.sequence is None else event.position
            event.save(update_fields=["fanned_out_at", "position"])
        return int(row.tries)


class FanOutFailure(models.Model):
    """The tries of an event whose fan-out has failed, the last of which failed alone.

    The fan-out leaves the event out until ``retry_at``.
    """

    # Not a foreign key: the outbox reads this table with each batch of events.
    event_id = models.BigIntegerField(primary_key=True)
    tries = models.PositiveSmallIntegerField()
    retry_at = models.DateTimeField()
    # Of the last try. It quotes no values.
    error = models.TextField()

    objects = FanOutFailureManager()


MOST_KEYS = 1_000
"""Events whose keys are read first. An object with more of them is found in the query itself."""


class Subject(NamedTuple):
    """An object: the name of its noun, and its id as text."""

    noun: str
    id: str

    @classmethod
    def parse(cls, text: str) -> Subject:
        """Return the object of a text such as ``class:8840``; raise `SubjectError` for an unknown noun or a missing id."""
        noun, _colon, key = text.partition(":")
        nouns = registry.grouped()
        if noun not in nouns:
            hint = event_names.suggest(noun[:64], nouns)
            message = gettext(
                'Unknown noun: "%(noun)s".%(hint)s Write a noun, a colon and the id of the object: class:8840.'
            )
            raise SubjectError(message % {"noun": noun[:64], "hint": hint}, code="invalid")
        if not key.strip():
            message = gettext('"%(text)s" has no id. Write a noun, a colon and the id of the object: %(noun)s:8840.')
            raise SubjectError(message % {"text": text[:64], "noun": noun}, code="invalid")
        return cls(noun, key.strip())

    @property
    def ids(self) -> set[str]:
        """The forms in which the id may be stored: as `subject_key` returns it for a text, and for a UUID."""
        found = {self.id, subject_key(self.id)}
        try:
            return found | {subject_key(uuid.UUID(self.id))}
        except ValueError:
            return found

    @property
    def events(self) -> EventQuerySet:
        """The events of the object. Served by the unique constraint ``tms_event_sequence_once``."""
        return Event.objects.filter(subject_type=self.noun, subject_id__in=sorted(self.ids))


def in_feed(events: EventQuerySet) -> Any:
    """Return the filter of queries on the feed for these events, which are read together.

    Call it after the end of the page is known: an event that is published later must come after the page.
    """
    positions = list(events.order_by().values_list("position", flat=True)[: MOST_KEYS + 1])
    if len(positions) > MOST_KEYS:
        return Q(pk__in=events.values("pk"))
    # Not by key: the indexes of the feed have organization and position.
    return KeyIn(F("position"), numbers(position for position in positions if position is not None))


def delivered_as(events: EventQuerySet) -> Any:
    """Return the filter of deliveries for these events, which are read together.

    Served by the unique constraint ``tms_delivery_once_per_webhook``.
    """
    keys = list(events.order_by().values_list("pk", flat=True)[: MOST_KEYS + 1])
    return Q(event__in=events.values("pk")) if len(keys) > MOST_KEYS else KeyIn(F("event"), numbers(keys))
