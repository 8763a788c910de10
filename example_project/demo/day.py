"""How things are done on the day: in a transaction each, with a note of what has to be told of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from django.db import transaction
from django.db.models import Model

from example_project.demo.ledger import Ledger, Moment
from example_project.training.seed import Tenant

T = TypeVar("T")

PACE = 0.06
"""Seconds between two changes."""


class Mishap(Exception):
    """Something that goes wrong before the commit."""


@dataclass(frozen=True, slots=True)
class Day:
    """One organization's day."""

    ledger: Ledger
    tenant: Tenant

    def does(
        self,
        act: Callable[[], T],
        *event_types: str,
        of: Model | str | None = None,
        also: tuple[tuple[str, Model | str], ...] = (),
        timed: bool = True,
    ) -> T:
        """Do ``act`` in one transaction and return what it returns.

        ``event_types`` have to be told of ``of``, or of what ``act`` returns; ``also`` of other subjects. ``timed``
        says whether their latency counts.
        """
        moment = Moment(timed=timed)
        with transaction.atomic():
            # Before the app's own hook, so that its bell is no part of the latency's start.
            transaction.on_commit(lambda: _stamp(moment))
            result = act()
            for event_type, subject in [*((name, of or result) for name in event_types), *also]:
                self.ledger.expect(self._key(event_type, subject), moment)
        time.sleep(PACE)
        return result

    def fails_to(self, act: Callable[[], object], *event_types: str, of: Model) -> None:
        """Do ``act`` and then roll it back: nothing may be told of it."""
        for event_type in event_types:
            self.ledger.forbid(self._key(event_type, of))
        try:
            with transaction.atomic():
                act()
                raise Mishap
        except Mishap:
            of.refresh_from_db()

    def awaits(self, event_type: str, of: Model) -> None:
        """Note that time itself is going to make an event. When it does is up to a worker: no latency."""
        self.ledger.expect(self._key(event_type, of), Moment(timed=False))

    def _key(self, event_type: str, subject: object) -> tuple[int, str, str]:
        identity = subject.pk if isinstance(subject, Model) else subject
        return self.tenant.organization.pk, event_type, str(identity)


def _stamp(moment: Moment) -> None:
    moment.committed_at = time.time()
