"""Make each change in its own transaction, and record the events that must follow."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from django.db import transaction
from django.db.models import Model

from example_project.demo.ledger import Endpoint, Ledger, Moment
from example_project.training.seed import Tenant

T = TypeVar("T")

PAUSE = 0.04
"""Seconds between two changes."""


class Mishap(Exception):
    """An error before the commit."""


@dataclass(frozen=True, slots=True)
class Day:
    """The changes of one organization."""

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
        """Run ``act`` in one transaction and return its result.

        Expect ``event_types`` about ``of``, or about the result, and the events in ``also`` about other objects. With
        ``timed``, their latency counts.
        """
        moment = Moment(timed=timed)
        with transaction.atomic():
            # Registered before the app's own hook, so that the time of its wake-up belongs to the latency.
            transaction.on_commit(lambda: _stamp(moment))
            result = act()
            for event_type, subject in [*((name, of or result) for name in event_types), *also]:
                self.ledger.expect(self._key(event_type, subject), moment)
        time.sleep(PAUSE)
        return result

    def fails_to(self, act: Callable[[], object], *event_types: str, of: Model) -> None:
        """Run ``act`` and roll it back: no event may follow."""
        for event_type in event_types:
            self.ledger.forbid(self._key(event_type, of))
        try:
            with transaction.atomic():
                act()
                raise Mishap
        except Mishap:
            of.refresh_from_db()

    def awaits(self, event_type: str, of: Model | str, *, only: Endpoint | None = None) -> None:
        """Expect an event that a worker emits, for example of an expiry scan, so its latency does not count.

        With ``only``, the event is made for one webhook.
        """
        self.ledger.expect(self._key(event_type, of), Moment(timed=False), only=only)

    def _key(self, event_type: str, subject: object) -> tuple[int, str, str]:
        identity = subject.pk if isinstance(subject, Model) else subject
        return self.tenant.organization.pk, event_type, str(identity)


def _stamp(moment: Moment) -> None:
    moment.committed_at = time.time()
