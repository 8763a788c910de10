"""How far pruning has come, so that it never reads blank payloads again."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple

from django.db import models, router

from tms_webhooks.db.lookups import key_in

PAYLOADS = 1
"""The key of the one row."""


class EventAge(NamedTuple):
    """An event in the order of the index ``tms_event_by_age``."""

    occurred_at: datetime
    event_id: int


class PruneCursorManager(models.Manager["PruneCursor"]):
    """Reads and moves the cursor."""

    def current(self) -> EventAge | None:
        """Return the event up to which payloads were blanked; None before the first time."""
        found = self.using(router.db_for_write(self.model)).filter(pk=PAYLOADS).first()
        return None if found is None else EventAge(found.occurred_at, found.event_id)

    def move(self, before: EventAge | None, to: EventAge) -> bool:
        """Move the cursor, in the transaction that blanks the payloads up to there.

        Return False, with nothing written, if a concurrent run has moved it since ``before`` was read.
        """
        rows = self.using(router.db_for_write(self.model))
        if before is None:
            return rows.get_or_create(pk=PAYLOADS, defaults=to._asdict())[1]
        return bool(rows.filter(pk=PAYLOADS, **before._asdict()).update(**to._asdict()))


class PruneCursor(models.Model):
    """The last event whose payload was blanked or noted as a `KeptPayload`. All older ones are done."""

    occurred_at = models.DateTimeField()
    # Not a foreign key: the event is deleted later.
    event_id = models.BigIntegerField()

    objects = PruneCursorManager()

    def __str__(self) -> str:
        return f"{self.occurred_at:%Y-%m-%d %H:%M:%S} {self.event_id}"


class KeptPayloadManager(models.Manager["KeptPayload"]):
    """Notes and forgets kept payloads."""

    def note(self, events: Iterable[int]) -> None:
        """Note these events."""
        rows = self.using(router.db_for_write(self.model))
        rows.bulk_create([self.model(pk=pk) for pk in events], ignore_conflicts=True)

    def forget(self, events: Collection[int]) -> None:
        """Forget these events: their payloads are blank now, or they are deleted."""
        if events:
            self.using(router.db_for_write(self.model)).filter(key_in(events)).delete()

    def after(self, event_id: int, *, limit: int) -> list[int]:
        """Return up to ``limit`` noted events after this key, in the order of their keys."""
        rows = self.using(router.db_for_write(self.model)).filter(pk__gt=event_id)
        return list(rows.order_by("pk").values_list("pk", flat=True)[:limit])


class KeptPayload(models.Model):
    """An event whose payload was old enough to be blanked, but was needed: pruning comes back to it.

    Needed means: a delivery was open, or another transaction had locked the event.
    """

    # Not a foreign key: the event may be deleted first.
    event_id = models.BigIntegerField(primary_key=True)

    objects = KeptPayloadManager()

    def __str__(self) -> str:
        return f"payload of event {self.event_id}"
