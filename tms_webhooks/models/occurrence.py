"""What must be told once only, and how far the scans that tell it have come."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.db import connections, models, router
from django.utils.translation import gettext_lazy as _

from tms_webhooks.db.django_private import insert_ignoring_conflicts
from tms_webhooks.models.event import LONGEST_SUBJECT_KEY, Event
from tms_webhooks.models.subscription import Subscription

# Room for what the longest key has: an event name, a subscription, two days, an object's key, a moment.
LONGEST_KEY = 255
SECOND = timedelta(seconds=1)


class OccurrenceManager(models.Manager["Occurrence"]):
    """Remembers what was told."""

    def record_first_time(
        self, key: str, *, now: datetime, deadline: datetime | None = None, using: str | None = None
    ) -> bool:
        """Return whether ``key`` was never told, and remember it. Call it in the transaction that records the event.

        ``deadline`` is the date that it speaks of, if it speaks of one: it may be forgotten some time after. A second
        transaction that tells the same waits for the first to end; it never fails on the key.
        """
        connection = connections[using or router.db_for_write(self.model)]
        table = connection.ops.quote_name(self.model._meta.db_table)
        insert, suffix = insert_ignoring_conflicts(connection)
        columns = f"{connection.ops.quote_name('key')}, recorded_at, deadline"
        moments = [connection.ops.adapt_datetimefield_value(moment) for moment in (now, deadline)]
        with connection.cursor() as cursor:
            cursor.execute(f"{insert} {table} ({columns}) VALUES (%s, %s, %s) {suffix}", [key, *moments])
            return bool(cursor.rowcount == 1)

    def told_of(self, low: datetime, high: datetime, *, using: str | None = None) -> set[str]:
        """Return the keys of all that was told and speaks of a date from ``low`` to ``high``, or near them.

        One query however many there are, served by the index ``tms_occurrence_by_deadline``.
        """
        using = using or router.db_for_write(self.model)
        # A key tells seconds, no fractions: what was told of the same second a moment before has the same.
        dates = (low - SECOND, high + SECOND)
        return set(self.using(using).filter(deadline__range=dates).values_list("key", flat=True))

    def lock(self, key: str, *, now: datetime, using: str | None = None) -> None:
        """Hold ``key`` until the transaction ends, so that only one at a time decides whether something happened.

        In one statement, because MariaDB gives a second one only a shared lock for an insert that it ignores: two that
        wait would then wait for each other.
        """
        using = using or router.db_for_write(self.model)
        names = ["key"] if connections[using].features.supports_update_conflicts_with_target else None
        self.using(using).bulk_create(
            [self.model(key=f"lock:{key}", recorded_at=now, deadline=now)],
            update_conflicts=True,
            unique_fields=names,
            update_fields=["recorded_at", "deadline"],
        )


class Occurrence(models.Model):
    """One thing that is told at most once, named by a key such as ``learning_path.completed:7:42``.

    Two transactions that tell the same thing at once meet at the key: the second waits, and then tells nothing.
    """

    key = models.CharField(_("key"), max_length=LONGEST_KEY, unique=True)
    recorded_at = models.DateTimeField(_("told at"))
    # No scan and no change comes back to a date that is long past. What has none, such as a completed path, stays told.
    deadline = models.DateTimeField(_("deadline"), null=True)

    objects = OccurrenceManager()

    class Meta:
        verbose_name = _("occurrence")
        verbose_name_plural = _("occurrences")
        indexes = [models.Index(fields=["deadline"], name="tms_occurrence_by_deadline")]

    def __str__(self) -> str:
        return self.key


class ScanCursorManager(models.Manager["ScanCursor"]):
    """How far each scan has come."""

    def keep(self, scan: str, names: Collection[str], *, now: datetime, using: str) -> dict[str, ScanCursor]:
        """Return the cursors of ``scan``, by their names within it.

        A new name begins at ``now``; the cursor of a name that is not given any more is deleted.
        """
        prefix = f"{scan}:"
        found = self._of(prefix, using=using)
        gone = [cursor.pk for name, cursor in found.items() if name not in names]
        if gone:
            self.using(using).filter(pk__in=gone).delete()
        new = {name: self.model(key=f"{prefix}{name}", scanned_until=now) for name in names if name not in found}
        if new:
            # Another scan may be beginning them, too.
            self.using(using).bulk_create(new.values(), ignore_conflicts=True)
            found = {**new, **self._of(prefix, using=using)}
        return {name: found[name] for name in names}

    def advance(self, cursors: Iterable[ScanCursor], *, until: datetime, using: str) -> int:
        """Move cursors on to ``until``, also back to it; return how many.

        One that another scan moved since it was read stays where that scan put it.
        """
        by_moment: dict[datetime, list[int]] = defaultdict(list)
        for cursor in cursors:
            by_moment[cursor.scanned_until].append(cursor.pk)
        return sum(
            self.using(using).filter(pk__in=keys, scanned_until=moment).update(scanned_until=until)
            for moment, keys in by_moment.items()
        )

    def _of(self, prefix: str, *, using: str) -> dict[str, ScanCursor]:
        return {cursor.key.removeprefix(prefix): cursor for cursor in self.using(using).filter(key__startswith=prefix)}


class ScanCursor(models.Model):
    """Up to which moment one scan has looked: what fell due since then is told by the next run, however late."""

    key = models.CharField(_("key"), max_length=LONGEST_KEY, unique=True)
    scanned_until = models.DateTimeField(_("scanned until"))

    objects = ScanCursorManager()

    class Meta:
        verbose_name = _("scan cursor")
        verbose_name_plural = _("scan cursors")

    def __str__(self) -> str:
        return f"{self.key} {self.scanned_until:%Y-%m-%d %H:%M:%S}"


class FirstOccurrenceManager(models.Manager["FirstOccurrence"]):
    """Keeps the first ones."""

    def claim(self, candidates: Sequence[tuple[int, Event]]) -> set[tuple[int, int]]:
        """Note events as the first for a subscription, in this order, where there is none yet.

        Return those that are the first, as the keys of a subscription and an event: now, or noted before. A second
        transaction that notes another event of the same object waits for this one.
        """
        rows = self.using(router.db_for_write(self.model))
        notes = [
            self.model(
                subscription_id=subscription_id,
                event_type=event.type,
                subject_type=event.subject_type,
                subject_id=event.subject_id,
                event_id=event.pk,
            )
            for subscription_id, event in candidates
        ]
        # In the order of the objects, of each in that of its events: or two of these could wait for each other.
        notes.sort(key=lambda note: (note.subscription_id, note.event_type, note.subject_type, note.subject_id))
        rows.bulk_create(notes, ignore_conflicts=True)
        asked = {(subscription_id, event.pk) for subscription_id, event in candidates}
        noted = rows.filter(event_id__in={event.pk for _subscription, event in candidates})
        return asked & set(noted.values_list("subscription_id", "event_id"))

    def of(self, subscription_id: int, event: Event) -> int | None:
        """Return the key of the first event of the same type and object that a subscription wanted; None if none was yet."""
        rows = self.using(router.db_for_write(self.model)).filter(
            subscription_id=subscription_id,
            event_type=event.type,
            subject_type=event.subject_type,
            subject_id=event.subject_id,
        )
        return rows.values_list("event_id", flat=True).first()


class FirstOccurrence(models.Model):
    """The first event of one type of one object, for a subscription that wants no others."""

    subscription = models.ForeignKey(
        Subscription, on_delete=models.CASCADE, related_name="+", db_index=False, verbose_name=_("subscription")
    )
    event_type = models.CharField(_("event"), max_length=100)
    subject_type = models.CharField(_("subject type"), max_length=50)
    subject_id = models.CharField(_("subject id"), max_length=LONGEST_SUBJECT_KEY)
    # The event may be forgotten; that there was one is not.
    event_id = models.BigIntegerField(_("event"), db_index=True)

    if TYPE_CHECKING:
        subscription_id: int

    objects = FirstOccurrenceManager()

    class Meta:
        verbose_name = _("first occurrence")
        verbose_name_plural = _("first occurrences")
        constraints = [
            models.UniqueConstraint(
                fields=["subscription", "event_type", "subject_type", "subject_id"], name="tms_first_once_per_subject"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.event_type} {self.subject_type}:{self.subject_id}"
