"""Events that must be emitted only once: their keys, the cursors of the scans, and the first events of subscriptions."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple

from django.db import connections, models

from tms_webhooks.db.django_private import insert_ignoring_conflicts
from tms_webhooks.db.sql import PrimaryManager, insert_or_update
from tms_webhooks.models.event import LONGEST_SUBJECT_KEY, Event, ExactCharField
from tms_webhooks.models.subscription import Subscription

LONGEST_KEY = 255
"""Enough for an event name, a subscription, an object's key and a time."""
SECOND = timedelta(seconds=1)
SUBJECTS_PER_QUERY = 500

# Insert a key, or nothing if it exists. By the unique constraint of the key.
INSERT_KEY = "{insert} {table} ({key}, recorded_at, deadline) VALUES (%s, %s, %s) {suffix}"


class OccurrenceManager(models.Manager["Occurrence"]):
    """Records keys, each once."""

    def record_first_time(self, key: str, *, deadline: datetime | None, now: datetime, using: str) -> bool:
        """Record ``key`` and return whether it is new. Call it in the transaction that records the event.

        ``deadline`` is the date that the event is about, if any; the key may be pruned some time after it. A second
        transaction with the same key waits for the first to end, and does not fail.
        """
        connection = connections[using]
        quote, adapt = connection.ops.quote_name, connection.ops.adapt_datetimefield_value
        insert, suffix = insert_ignoring_conflicts(connection)
        table = quote(self.model._meta.db_table)
        statement = INSERT_KEY.format(insert=insert, table=table, key=quote("key"), suffix=suffix)
        with connection.cursor() as cursor:
            cursor.execute(statement, [key, adapt(now), adapt(deadline)])
            return bool(cursor.rowcount == 1)

    def moments_between(self, low: datetime, high: datetime, *, using: str) -> dict[str, datetime]:
        """Return the deadlines of the recorded keys, from ``low`` to ``high`` or up to a second beyond, by their keys.

        One query, served by the index ``tms_occurrence_by_deadline``.
        """
        # Keys contain whole seconds, so a deadline in the same second has the same key.
        rows: Any = self.using(using).filter(deadline__range=(low - SECOND, high + SECOND))
        return dict(rows.values_list("key", "deadline"))

    def lock(self, key: str, *, now: datetime, using: str) -> None:
        """Lock ``key`` until the transaction ends, so that one transaction at a time decides about an event.

        One statement that updates on conflict: for an ignored insert MariaDB takes only a shared lock, and two
        transactions that wait for it would deadlock.
        """
        row = self.model(key=f"lock:{key}", recorded_at=now, deadline=now)
        insert_or_update(self.using(using), [row], unique=["key"], fields=["recorded_at", "deadline"])


class Occurrence(models.Model):
    """One event that is emitted at most once, identified by a key such as ``learning_path.completed:7:42``.

    Of two concurrent transactions with the same key, the second waits for the first, and then emits nothing.
    """

    key = ExactCharField(max_length=LONGEST_KEY, unique=True)
    recorded_at = models.DateTimeField()
    # Keys are pruned long after their deadline. Keys without one, such as those of completed paths, are kept.
    deadline = models.DateTimeField(null=True)

    objects = OccurrenceManager()

    class Meta:
        indexes = [
            # OccurrenceManager.moments_between; keys to prune.
            models.Index(fields=["deadline"], name="tms_occurrence_by_deadline"),
        ]


class ScanCursor(models.Model):
    """The time up to which one scan has emitted events. The next run, however late, continues there."""

    key = models.CharField(max_length=LONGEST_KEY, unique=True)
    scanned_until = models.DateTimeField()


class FirstKey(NamedTuple):
    """A first occurrence that an event may be: for a subscription, of a type, and of an object."""

    subscription_id: int
    event_type: str
    subject_type: str
    subject_id: str

    @classmethod
    def of(cls, subscription_id: int, event: Event) -> FirstKey:
        """Return that of an event for a subscription."""
        return cls(subscription_id, event.type, event.subject_type, event.subject_id)


class FirstOccurrenceManager(PrimaryManager["FirstOccurrence"]):
    """Records the first events of subscriptions. Candidates are pairs of a subscription's key and an event."""

    def claim(self, candidates: Collection[tuple[int, Event]]) -> set[tuple[int, int]]:
        """Record events, in this order, as the first of their object for a subscription, unless one is recorded.

        Return the pairs that are recorded, now or before, as the keys of both. A concurrent transaction about the same
        object waits for this one.
        """
        keys = [(FirstKey.of(pk, event), event.pk) for pk, event in candidates]
        # The events of one object stay in their order. The objects are sorted, so that concurrent transactions do not deadlock.
        keys.sort(key=itemgetter(0))
        rows = [self.model(**key._asdict(), event_id=event_id) for key, event_id in keys]
        self.bulk_create(rows, ignore_conflicts=True)
        return self.recorded(candidates)

    def recorded(self, candidates: Collection[tuple[int, Event]]) -> set[tuple[int, int]]:
        """Return the pairs that are recorded as the first, as the keys of both."""
        rows = self.filter(event_id__in={event.pk for _subscription, event in candidates})
        known = set(rows.values_list("subscription_id", "event_id"))
        return known & {(subscription, event.pk) for subscription, event in candidates}

    def of(self, candidates: Collection[tuple[int, Event]]) -> dict[FirstKey, int]:
        """Return the first event that is recorded for each of the candidates, as its key.

        One query for each `SUBJECTS_PER_QUERY` of them, by ``tms_first_once_per_subject``.
        """
        wanted = sorted({FirstKey.of(*one) for one in candidates})
        found: dict[Any, int] = {}
        for start in range(0, len(wanted), SUBJECTS_PER_QUERY):
            columns = zip(*wanted[start : start + SUBJECTS_PER_QUERY], strict=True)
            values = dict(zip(FirstKey._fields, map(set, columns), strict=True))
            rows = self.filter(**{f"{name}__in": some for name, some in values.items()})
            found |= {tuple(key): first for *key, first in rows.values_list(*FirstKey._fields, "event_id")}
        # The queries find other pairs of these subscriptions and objects, too.
        return {key: found[key] for key in wanted if key in found}


class FirstOccurrence(models.Model):
    """The first event of one type of one object, for a subscription that receives only the first."""

    subscription = models.ForeignKey(Subscription, on_delete=models.CASCADE, related_name="+", db_index=False)
    event_type = models.CharField(max_length=100)
    subject_type = models.CharField(max_length=50)
    subject_id = ExactCharField(max_length=LONGEST_SUBJECT_KEY)
    # Not a foreign key: the row outlives the event, which is pruned.
    event_id = models.BigIntegerField(db_index=True)

    subscription_id: int

    objects = FirstOccurrenceManager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["subscription", "event_type", "subject_type", "subject_id"], name="tms_first_once_per_subject"
            ),
        ]
