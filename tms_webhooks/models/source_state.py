"""The last recorded states of a host's objects, and the progress of reconciliation.

Other rows are the objects that have no organization yet, and edited learning paths whose learners are still to be checked.

Only sources with ``reconcile = True`` have states. All rows are in the database of the host's rows, and are written in the
transaction of the event.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple

from django.db import connections, models
from django.utils.translation import gettext_lazy as _

from tms_webhooks.db.sql import insert_or_update
from tms_webhooks.models.event import ExactCharField

LONGEST_SOURCE = 150
LONGEST_KEY = 200

# Insert a state, or update it if it is still the state before the change. By tms_source_state_by_key.
UPSERT = (
    "INSERT INTO {table} (source, {key}, state, related, recorded_at) "
    "VALUES (%(source)s, %(key)s, %(state)s, %(related)s, %(recorded_at)s) "
    "ON CONFLICT (source, {key}) DO UPDATE SET state = excluded.state, recorded_at = excluded.recorded_at "
    "WHERE {table}.state = %(before)s"
)


class ObjectState(NamedTuple):
    """One object's state as JSON: the values of its own row, and those of related rows."""

    key: str
    state: str
    related: str


class SourceStateManager(models.Manager["SourceState"]):
    """Records and deletes states, in the caller's transaction."""

    def record_all(
        self, source: str, lines: Iterable[tuple[str | None, ObjectState, bool]], *, now: datetime, using: str
    ) -> None:
        """Record the states of objects after a change: one in one statement, many in two.

        A line is an object's state before the change, or None, and its state after it. The last part says whether to
        record the values of related rows, too. If the recorded state is neither of the two, the row was changed out of band. Then
        only the values of this change are recorded, and reconciliation still detects the rest.
        """
        pairs, connection = list(lines), connections[using]
        if connection.vendor != "mysql" and len(pairs) == 1 and not pairs[0][2]:
            ((before, line, _related),) = pairs
            table, key = map(connection.ops.quote_name, (self.model._meta.db_table, "key"))
            values = {**line._asdict(), "source": source, "before": before}
            values["recorded_at"] = connection.ops.adapt_datetimefield_value(now)
            with connection.cursor() as cursor:
                cursor.execute(UPSERT.format(table=table, key=key), values)
                if cursor.rowcount == 1:
                    return
        known = self.of(source, [line.key for _before, line, _related in pairs], using=using, lock=True)
        merged = [
            _merged(known[line.key], before, line, related=related) if line.key in known else line
            for before, line, related in pairs
        ]
        self.overwrite(source, merged, now=now, using=using)

    def overwrite(self, source: str, lines: Collection[ObjectState], *, now: datetime, using: str) -> None:
        """Record states, whatever was recorded before."""
        rows = [self.model(source=source, recorded_at=now, **line._asdict()) for line in lines]
        fields = ["state", "related", "recorded_at"]
        insert_or_update(self.using(using), rows, unique=["source", "key"], fields=fields)

    def of(self, source: str, keys: Collection[str], *, using: str, lock: bool = False) -> dict[str, ObjectState]:
        """Return the recorded states of these objects, by their keys."""
        rows = self.using(using).filter(source=source, key__in=keys)
        rows = rows.select_for_update().order_by("key") if lock else rows
        found = rows.values_list("key", "state", "related")
        return {key: ObjectState(key, state, related) for key, state, related in found}

    def forget(self, source: str, keys: Collection[str], *, using: str) -> None:
        """Delete the states of these objects."""
        self.using(using).filter(source=source, key__in=keys).delete()


class SourceState(models.Model):
    """The last recorded state of one object of one source. It is recorded without subscriptions, too."""

    source = models.CharField(max_length=LONGEST_SOURCE)
    key = ExactCharField(max_length=LONGEST_KEY)
    state = models.TextField()
    related = models.TextField()
    recorded_at = models.DateTimeField()

    objects = SourceStateManager()

    class Meta:
        constraints = [
            # Also the index for each query of states.
            models.UniqueConstraint(fields=["source", "key"], name="tms_source_state_by_key"),
        ]


class OwnerlessObjectManager(models.Manager["OwnerlessObject"]):
    """Records objects without an organization, in the caller's transaction."""

    def take(self, source: str, keys: Collection[str], *, using: str) -> set[str]:
        """Delete the rows of these objects; return the keys of those that were recorded."""
        rows = self.using(using).filter(source=source, key__in=keys)
        found = set(rows.values_list("key", flat=True))
        if found:
            rows.delete()
        return found


class OwnerlessObject(models.Model):
    """An object without an organization. Its first event is recorded when it has one."""

    source = models.CharField(max_length=LONGEST_SOURCE)
    key = ExactCharField(max_length=LONGEST_KEY)
    since = models.DateTimeField()
    checked_at = models.DateTimeField()
    reported = models.BooleanField(default=False)

    objects = OwnerlessObjectManager()

    class Meta:
        indexes = [
            # The next objects to check.
            models.Index(fields=["checked_at", "id"], name="tms_ownerless_by_check"),
        ]
        constraints = [
            # Also the index for the objects of a source.
            models.UniqueConstraint(fields=["source", "key"], name="tms_ownerless_by_key"),
        ]


def _merged(known: ObjectState, before: str | None, line: ObjectState, *, related: bool) -> ObjectState:
    """Return the state to record for ``line`` after a change of it since ``before``, where ``known`` is recorded."""
    if before is None:
        return line
    recorded, old = json.loads(known.state), json.loads(before)
    # What the change left as it was stays as it is recorded.
    state = {
        name: value if name not in recorded or old.get(name) != value else recorded[name]
        for name, value in json.loads(line.state).items()
    }
    return ObjectState(
        line.key,
        json.dumps(state, separators=(",", ":"), ensure_ascii=False),
        line.related if related else known.related,
    )


class ReconcilePhase(models.TextChoices):
    """The phases of a reconciliation pass over one source."""

    ROWS = "rows", _("Rows")
    """Compare the host's rows with the recorded states."""
    STATES = "states", _("States")
    """Look for recorded states without a row."""
    DONE = "done", _("Done")
    """The pass has ended."""


class Reconciliation(models.Model):
    """The progress of the pass over one source: an interrupted pass continues there."""

    source = models.CharField(max_length=LONGEST_SOURCE, unique=True)
    phase = models.CharField(max_length=10, choices=ReconcilePhase.choices, default=ReconcilePhase.ROWS)
    position = models.CharField(max_length=LONGEST_KEY, blank=True, default="")
    # The first pass only records states: it has nothing to compare them with.
    has_baseline = models.BooleanField(default=False)
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    def begin(self, now: datetime) -> None:
        """Start another pass."""
        self.phase, self.position, self.started_at, self.finished_at = ReconcilePhase.ROWS, "", now, None
        self.save(update_fields=["phase", "position", "started_at", "finished_at"])

    def advance(self, position: str | None, *, now: datetime) -> None:
        """Record that all keys up to ``position`` have been compared; None ends the phase."""
        if position is not None:
            self.position = position
        elif self.phase == ReconcilePhase.ROWS:
            self.phase, self.position, self.has_baseline = ReconcilePhase.STATES, "", True
        else:
            self.phase, self.position, self.finished_at = ReconcilePhase.DONE, "", now
        self.save(update_fields=["phase", "position", "has_baseline", "finished_at"])
