"""What was last told of each object, and how far the comparison with the host's rows has come.

Only sources with ``reconcile = True`` have such rows. They stand in the database of the host's rows, and are written in
the transaction that writes an event: rolled back with it, committed with it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connections, models
from django.utils.translation import gettext_lazy as _

LONGEST_SOURCE = 150
LONGEST_KEY = 200

UPSERT = (
    "INSERT INTO {table} (source, {key}, state, beside, recorded_at) "
    "VALUES (%(source)s, %(key)s, %(state)s, %(beside)s, %(recorded_at)s) "
    "ON CONFLICT (source, {key}) DO UPDATE SET state = excluded.state, recorded_at = excluded.recorded_at "
    "WHERE {table}.state = %(before)s"
)
# Not both in one: an insert that finds its row locks the gap beside it, too, where others insert.
UPDATE = (
    "UPDATE {table} SET state = %(state)s, recorded_at = %(recorded_at)s "
    "WHERE source = %(source)s AND {key} = %(key)s AND BINARY state = %(before)s"
)


@dataclass(frozen=True, slots=True)
class ObjectState:
    """One object's state: the values of its own row as text, and beside them those that stand elsewhere."""

    key: str
    state: str
    beside: str


class SourceStateManager(models.Manager["SourceState"]):
    """Remembers and forgets states, in the caller's transaction."""

    def keep(self, source: str, line: ObjectState, *, before: str | None, now: datetime, using: str) -> None:
        """Remember what one object is told as after a change that found it as ``before``; None if it was not there.

        Where something else was told last, somebody changed the row unseen: that stays to be found, and only what this
        change changed is remembered.
        """
        connection = connections[using]
        sql = UPDATE if connection.vendor == "mysql" else UPSERT
        quote = connection.ops.quote_name
        statement = sql.format(table=quote(self.model._meta.db_table), key=quote("key"))
        recorded_at = connection.ops.adapt_datetimefield_value(now)
        values = {
            "source": source,
            "key": line.key,
            "state": line.state,
            "beside": line.beside,
            "recorded_at": recorded_at,
        }
        with connection.cursor() as cursor:
            cursor.execute(statement, {**values, "before": before})
            if cursor.rowcount == 1:
                return
        self.keep_all(source, [(before, line)], now=now, using=using)

    def keep_all(
        self,
        source: str,
        lines: Iterable[tuple[str | None, ObjectState]],
        *,
        now: datetime,
        using: str,
        beside: bool = False,
    ) -> None:
        """Remember the same of many objects in two statements; ``beside``: also what stands beside their own rows."""
        pairs = list(lines)
        known = self.of(source, [line.key for _before, line in pairs], using=using, lock=True)
        merged = [
            _merged(known[line.key], before, line, beside=beside) if line.key in known else line
            for before, line in pairs
        ]
        self.put(source, merged, now=now, using=using)

    def put(self, source: str, lines: Collection[ObjectState], *, now: datetime, using: str) -> None:
        """Remember states whatever was known before."""
        names = None if connections[using].vendor == "mysql" else ["source", "key"]
        self.using(using).bulk_create(
            [
                self.model(source=source, key=line.key, state=line.state, beside=line.beside, recorded_at=now)
                for line in lines
            ],
            update_conflicts=True,
            unique_fields=names,
            update_fields=["state", "beside", "recorded_at"],
        )

    def of(self, source: str, keys: Collection[str], *, using: str, lock: bool = False) -> dict[str, ObjectState]:
        """Return what is remembered of these objects, by their keys."""
        rows = self.using(using).filter(source=source, key__in=keys)
        if lock:
            rows = rows.select_for_update().order_by("key")
        return {
            key: ObjectState(key, state, beside) for key, state, beside in rows.values_list("key", "state", "beside")
        }

    def after(self, source: str, key: str, *, limit: int, using: str) -> dict[str, ObjectState]:
        """Return what is remembered of the next objects after ``key``, in the order of their keys."""
        rows = self.using(using).filter(source=source, key__gt=key).order_by("key")[:limit]
        return {
            key: ObjectState(key, state, beside) for key, state, beside in rows.values_list("key", "state", "beside")
        }

    def forget(self, source: str, keys: Collection[str], *, using: str) -> None:
        """Remember nothing of these objects any more."""
        self.using(using).filter(source=source, key__in=keys).delete()

    def forget_others(self, sources: Collection[str], *, using: str) -> None:
        """Remember nothing of any source but these."""
        self.using(using).exclude(source__in=sources).delete()


class SourceState(models.Model):
    """What one source has told of one object, or would have told if anybody had asked."""

    source = models.CharField(max_length=LONGEST_SOURCE)
    key = models.CharField(max_length=LONGEST_KEY)
    state = models.TextField()
    beside = models.TextField()
    recorded_at = models.DateTimeField()

    objects = SourceStateManager()

    class Meta:
        verbose_name = _("told state")
        verbose_name_plural = _("told states")
        constraints = [models.UniqueConstraint(fields=["source", "key"], name="tms_source_state_by_key")]

    def __str__(self) -> str:
        return f"{self.source} {self.key}"


def _merged(known: ObjectState, before: str | None, line: ObjectState, *, beside: bool) -> ObjectState:
    if before is None:
        return line
    state = _changes(json.loads(known.state), json.loads(before), json.loads(line.state))
    return ObjectState(
        line.key, json.dumps(state, separators=(",", ":"), ensure_ascii=False), line.beside if beside else known.beside
    )


def _changes(known: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``known`` with what differs between ``before`` and ``after``, in the order and with the names of ``after``."""
    return {
        name: value if name not in known or before.get(name) != value else known[name] for name, value in after.items()
    }


class ReconcilePhase(models.TextChoices):
    """What a pass over one source is at."""

    ROWS = "rows", _("Rows")
    """Are the host's rows as they were told?"""
    STATES = "states", _("States")
    """Is what was told still there?"""
    DONE = "done", _("Done")
    """The pass is over."""


class ReconciliationManager(models.Manager["Reconciliation"]):
    """The passes, one for each source."""

    def of(self, source: str, *, now: datetime, using: str) -> Reconciliation:
        """Return the pass over a source, which begins now if there was none."""
        return self.using(using).get_or_create(source=source, defaults={"begun_at": now})[0]


class Reconciliation(models.Model):
    """How far the pass over one source has come: one that is cut short goes on from there."""

    source = models.CharField(max_length=LONGEST_SOURCE, unique=True)
    phase = models.CharField(max_length=10, choices=ReconcilePhase.choices, default=ReconcilePhase.ROWS)
    position = models.CharField(max_length=LONGEST_KEY, blank=True, default="")
    # The first pass only takes down how things are: there is nothing to compare with.
    has_baseline = models.BooleanField(default=False)
    begun_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)

    objects = ReconciliationManager()

    class Meta:
        verbose_name = _("reconciliation")
        verbose_name_plural = _("reconciliations")

    def __str__(self) -> str:
        return f"{self.source}: {self.phase}"

    def begin(self, now: datetime) -> None:
        """Start another pass."""
        self.phase, self.position, self.begun_at, self.finished_at = ReconcilePhase.ROWS, "", now, None
        self.save(update_fields=["phase", "position", "begun_at", "finished_at"])

    def advance(self, position: str | None, *, now: datetime) -> None:
        """Note that everything up to ``position`` has been compared; None ends the phase."""
        if position is not None:
            self.position = position
        elif self.phase == ReconcilePhase.ROWS:
            self.phase, self.position, self.has_baseline = ReconcilePhase.STATES, "", True
        else:
            self.phase, self.position, self.finished_at = ReconcilePhase.DONE, "", now
        self.save(update_fields=["phase", "position", "has_baseline", "finished_at"])
