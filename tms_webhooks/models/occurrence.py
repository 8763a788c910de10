"""What must be told once only, and how far the scans that tell it have come."""

from __future__ import annotations

from datetime import datetime

from django.db import connections, models, router
from django.db.models.constants import OnConflict
from django.utils.translation import gettext_lazy as _


class OccurrenceManager(models.Manager["Occurrence"]):
    """Remembers what was told."""

    def first_time(self, key: str, *, now: datetime, using: str | None = None) -> bool:
        """Return whether ``key`` was never told, and remember it. Call it in the transaction that records the event.

        A second transaction that tells the same waits for the first to end; it never fails on the key.
        """
        connection = connections[using or router.db_for_write(self.model)]
        table = connection.ops.quote_name(self.model._meta.db_table)
        insert = connection.ops.insert_statement(on_conflict=OnConflict.IGNORE)
        suffix = connection.ops.on_conflict_suffix_sql([], OnConflict.IGNORE, [], [])
        with connection.cursor() as cursor:
            cursor.execute(
                f"{insert} {table} ({connection.ops.quote_name('key')}, told_at) VALUES (%s, %s) {suffix}",
                [key, connection.ops.adapt_datetimefield_value(now)],
            )
            return bool(cursor.rowcount == 1)

    def lock(self, key: str, *, now: datetime, using: str | None = None) -> None:
        """Hold ``key`` until the transaction ends, so that only one at a time decides whether something happened.

        In one statement, because MariaDB gives a second one only a shared lock for an insert that it ignores: two that
        wait would then wait for each other.
        """
        using = using or router.db_for_write(self.model)
        names = ["key"] if connections[using].features.supports_update_conflicts_with_target else None
        self.using(using).bulk_create(
            [self.model(key=f"lock:{key}", told_at=now)],
            update_conflicts=True,
            unique_fields=names,
            update_fields=["told_at"],
        )


class Occurrence(models.Model):
    """One thing that is told at most once, named by a key such as ``learning_path.completed:7:42``.

    Two transactions that tell the same thing at once collide on the key: one of them is rolled back.
    """

    key = models.CharField(_("key"), max_length=200, unique=True)
    told_at = models.DateTimeField(_("told at"))

    objects = OccurrenceManager()

    class Meta:
        verbose_name = _("occurrence")
        verbose_name_plural = _("occurrences")
        indexes = [models.Index(fields=["told_at"], name="tms_occurrence_by_age")]

    def __str__(self) -> str:
        return self.key


class ScanCursor(models.Model):
    """Up to which moment one scan has looked: what fell due since then is told by the next run, however late."""

    key = models.CharField(_("key"), max_length=200, unique=True)
    scanned_until = models.DateTimeField(_("scanned until"))

    class Meta:
        verbose_name = _("scan cursor")
        verbose_name_plural = _("scan cursors")

    def __str__(self) -> str:
        return f"{self.key} {self.scanned_until:%Y-%m-%d %H:%M:%S}"

    def advance(self, *, until: datetime) -> bool:
        """Move on to ``until``; return False where another scan moved this cursor in the meantime."""
        moved = (
            type(self)
            .objects.filter(pk=self.pk, scanned_until=self.scanned_until)
            .update(scanned_until=until)
        )
        if moved:
            self.scanned_until = until
        return bool(moved)
