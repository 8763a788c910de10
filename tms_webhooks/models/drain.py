"""What processes share: drain slots, which limit how many drains run, and when each periodic job last began."""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

from django.db import models
from django.db.models import Q

from tms_webhooks.conf import app_settings
from tms_webhooks.db.sql import ASYNCHRONOUS_COMMIT, PrimaryManager, database, for_update, read
from tms_webhooks.models.encryption import keys_mark
from tms_webhooks.queues import PeriodicJob

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)

GRACE = timedelta(seconds=2)
"""For how long a drain holds its slot beyond its budget."""

FAR_AHEAD = timedelta(minutes=1)
"""A slot that is held for longer than this, or than a longer budget, was taken before a clock was set back. So was a run
recorded that began further in the future."""


SEEN_LATELY = timedelta(seconds=10)
"""A drain that was seen within this time lives: it shows itself every four seconds."""

OUTAGE_GRACE = timedelta(minutes=1)
"""For how long the outage of a drain counts that gave its slot up: its successor is about to begin."""


def new_owner() -> str:
    """Return a name for the owner of a slot: host, process, and a random part for several drains of one process."""
    return f"{socket.gethostname()[:20]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


class DrainSlotManager(PrimaryManager["DrainSlot"]):
    """Takes and releases slots."""

    def take(self, number: int, *, owner: str, now: datetime, until: datetime) -> bool:
        """Take slot ``number`` for ``owner`` unless another drain holds it; return whether ``owner`` holds it now.

        The slot of a killed drain is free when its time is over. A slot that was taken before a clock was set back is
        free, too.
        """
        free = Q(owner="") | Q(held_until__lte=now) | Q(held_until__gt=_far_ahead(now)) | Q(owner=owner)
        slot, values = self.filter(free, number=number), {"owner": owner, "held_until": until, "keys": keys_mark()}
        if slot.update(**values):
            return True
        # A slot that was never taken has no row.
        self.bulk_create([self.model(number=number, owner="", held_until=now)], ignore_conflicts=True)
        return bool(slot.update(**values))

    def release(self, number: int, *, owner: str, now: datetime) -> None:
        """Free the slot if ``owner`` still holds it."""
        self.filter(number=number, owner=owner).update(owner="", held_until=now, seen_at=None)

    def see(self, number: int | None, *, now: datetime) -> int:
        """Record that the drain of slot ``number`` lives; return how many drains do, at least this one."""
        if number is not None:
            self.filter(number=number).update(seen_at=now)
        alive = self.filter(seen_at__gt=now - SEEN_LATELY, seen_at__lte=now + SEEN_LATELY).exclude(number=number or 0)
        return 1 + alive.count()

    def held(self, now: datetime) -> models.QuerySet[DrainSlot]:
        """Return the slots of running drains."""
        return self.filter(held_until__gt=now, held_until__lte=_far_ahead(now)).exclude(owner="")

    def cut_off(self, now: datetime) -> models.QuerySet[DrainSlot]:
        """Return the slots of drains that reach no receiver at all."""
        return self.filter(unreachable_since__isnull=False, held_until__gt=now - OUTAGE_GRACE)

    def is_own_outage(self, now: datetime) -> bool:
        """Return whether drains run, and none of them reaches a receiver."""
        return self.cut_off(now).exists() and not self.held(now).filter(unreachable_since=None).exists()

    def held_until(self, now: datetime, *, number: int | None = None) -> datetime | None:
        """Return how long a drain holds this slot, or any slot, at most; None if no drain runs."""
        slots = self.held(now)
        slots = slots if number is None else slots.filter(number=number)
        return slots.order_by("-held_until").values_list("held_until", flat=True).first()


class DrainSlot(models.Model):
    """The right of one drain to run."""

    number = models.PositiveSmallIntegerField(unique=True)
    owner = models.CharField(max_length=64, blank=True, default="")
    held_until = models.DateTimeField()
    # When the drain showed last that it lives: it shares the webhooks with the others.
    seen_at = models.DateTimeField(null=True)
    # The mark of the drain's encryption keys.
    keys = models.CharField(max_length=16, blank=True, default="")
    # Since when its drains reach no receiver, once that has lasted for two minutes.
    unreachable_since = models.DateTimeField(null=True)

    objects = DrainSlotManager()


def _far_ahead(now: datetime) -> datetime:
    return now + max(FAR_AHEAD, timedelta(seconds=app_settings.DRAIN_BUDGET_SECONDS) + GRACE)


# Locks a row of `PeriodicRun`, unless another transaction has. By its unique index.
LOCK_RUN = "{select} FROM {periodicrun} WHERE function = %s {lock}"

# The row of `PeriodicRun` that is locked while events get numbers, or copies that are to get some.
NUMBERING = "tms_webhooks.outbox.numbers"


class PeriodicRunManager(PrimaryManager["PeriodicRun"]):
    """Records runs."""

    def lock(self, name: str) -> bool:
        """Lock the row of this name until the transaction ends; return False if another transaction has locked it.

        The transaction is for work that is repeated if it is lost: its commit does not wait for PostgreSQL's disk.
        """
        lock = for_update(skip_locked=True)
        if not lock:
            return True
        select = ASYNCHRONOUS_COMMIT if database().vendor == "postgresql" else "SELECT id"
        if read(LOCK_RUN, [name], repeated=True, lock=lock, select=select):
            return True
        if self.filter(function=name).exists():
            return False
        self.bulk_create([self.model(function=name, started_at=LONG_AGO)], ignore_conflicts=True)
        return bool(read(LOCK_RUN, [name], lock=lock, select=select))

    def record(self, function: str, *, now: datetime) -> None:
        """Record that the job at this dotted path begins."""
        # Not `update_or_create`: of several first runs together, MariaDB refuses some for a deadlock.
        if not self.filter(function=function).update(started_at=now):
            self.bulk_create([self.model(function=function, started_at=now)], ignore_conflicts=True)

    def claim(self, function: str, *, now: datetime, unless_since: datetime) -> bool:
        """Record that the job begins, unless it began after ``unless_since``; return whether the caller has to run it.

        Of several processes that call this for the same run, one gets True.
        """
        is_over = Q(started_at__lte=unless_since) | Q(started_at__gt=now + FAR_AHEAD)
        self.bulk_create([self.model(function=function, started_at=LONG_AGO)], ignore_conflicts=True)
        return bool(self.filter(is_over, function=function).update(started_at=now))

    def claim_due(
        self, jobs: Iterable[PeriodicJob], *, clock: Callable[[], datetime], grace: timedelta = timedelta()
    ) -> Iterator[PeriodicJob]:
        """Claim and yield each of these jobs that no process has begun within its interval and ``grace``."""
        started = self.started(now=clock())
        for job in jobs:
            now = clock()
            latest = now - timedelta(minutes=job.minutes) - grace
            if started.get(job.function, LONG_AGO) <= latest and self.claim(job.function, now=now, unless_since=latest):
                yield job

    def started(self, *, now: datetime) -> dict[str, datetime]:
        """Return when each job last began, by its dotted path. Jobs that never ran are absent."""
        return dict(self.filter(started_at__lte=now + FAR_AHEAD).values_list("function", "started_at"))


class PeriodicRun(models.Model):
    """The last run of one periodic job, or a row that is only locked: see `PeriodicRunManager.lock`."""

    function = models.CharField(max_length=100, unique=True)
    started_at = models.DateTimeField()

    objects = PeriodicRunManager()
