"""``manage.py webhooks_drain``: deliver webhooks in the foreground, without a queue; or run one periodic job once."""

from __future__ import annotations

import os
import socket
import threading
import uuid
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from django.db import DatabaseError, close_old_connections

from tms_webhooks.db import clock
from tms_webhooks.management import once as jobs
from tms_webhooks.management.base import WebhooksCommand, add_options, bad_input, counted, size
from tms_webhooks.management.base import seconds as number_of_seconds
from tms_webhooks.management.process import stop_on_signal
from tms_webhooks.management.reasons import NewestRows, Reasons
from tms_webhooks.management.timer import Timer, ticking
from tms_webhooks.models import DrainSlot
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.reconcile.passes import BATCH
from tms_webhooks.worker import drain as worker_drain
from tms_webhooks.worker.drain import Drain, Tally

FIRST = 10_001
"""The lowest number of a slot, beyond those that ``DRAINS`` counts. Several commands hold consecutive numbers."""
HOLD = 15.0
"""Seconds for which a slot is held without being renewed, beyond the wait of an idle drain: one that hangs loses it."""
LONGEST = 55.0
"""Seconds for which a slot is held at most. A slot that is held for longer counts as free (``FAR_AHEAD``)."""
RENEWED_EVERY = 5.0
"""Seconds."""
CONNECTIONS_CHECKED_EVERY = 60.0
"""Seconds."""
FOLLOW = "Delivering (stop with Ctrl-C). To see the attempts: webhooks_tail --follow"
NO_WEBHOOK = (
    "No webhook matches these events, by subscription, filters and audience. The page of an event in the admin gives the "
    "reason for each webhook."
)
TEXTS = {
    "failed": ("request failed", "requests failed"),
    "waiting": ("delivery waits", "deliveries wait"),
    "skipped": ("delivery was skipped", "deliveries were skipped"),
}
"""The words for each kind of reasons: for one request or delivery, and for several."""


class Command(WebhooksCommand):
    """Run one drain in the foreground, or one periodic job."""

    help = (
        "Deliver webhooks in the foreground until SIGTERM, SIGINT or SIGHUP, which let it finish its requests. A second signal "
        "ends it immediately. It takes none of the slots that TMS_WEBHOOKS['DRAINS'] counts: you can run several on any number "
        "of machines, also together with a queue. It also runs each "
        "periodic job (sweep, jobs, expiry scans, pruning and reconciling) that no other process has run in time. With "
        "--until-idle or --seconds, it says for each webhook why something was not delivered. With --once, it runs "
        "one periodic job now and delivers nothing. 'prune' blanks payloads and deletes attempts, events and marks that are "
        "older than KEEP_PAYLOADS_DAYS and KEEP_ATTEMPTS_DAYS. 'reconcile' records events for out-of-band changes of sources "
        "with reconcile = True. Exit status 0: it ended as requested. 1: with "
        "--until-idle, a request failed, also if it is tried again later. With --once reconcile, a source or an object "
        "failed, or an event can't be built; see the log. 2: an argument is invalid, and nothing was started."
    )

    always_connects = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("--seconds", type=number_of_seconds, help="end after this time")
        parser.add_argument(
            "--until-idle",
            action="store_true",
            help="end when nothing can be sent now: deliveries of a held webhook wait. Of the periodic jobs, only those that users have started are run, such as replays",
        )
        parser.add_argument(
            "--no-timer",
            action="store_false",
            dest="timer",
            help="leave the periodic jobs to other processes",
        )
        parser.add_argument("--once", choices=["prune", "reconcile"], help="run this periodic job now instead")
        add_options(parser, "--dry-run", help="with --once: count only, and change nothing")
        parser.add_argument(
            "--source",
            action="append",
            metavar="APP.MODEL",
            default=[],
            help="with --once reconcile: only this model; repeatable",
        )
        parser.add_argument(
            "--batch",
            type=size,
            default=BATCH,
            metavar="N",
            help=f"with --once reconcile: objects read at a time; default: {BATCH}",
        )
        add_options(parser, "--json")

    def handle(self, *, once: str | None, **options: Any) -> None:
        """Run the drain or the job."""
        if (options["source"] or options["batch"] != BATCH) and once != "reconcile":
            raise bad_input("--source and --batch need --once reconcile.")
        if options["dry_run"] and once != "prune":
            raise bad_input("--dry-run needs --once prune.")
        if once is not None:
            self.run_once(once, **options)
        else:
            self.run_drain(**options)

    def run_once(
        self, job: str, *, dry_run: bool, source: Sequence[str], batch: int, as_json: bool, **options: Any
    ) -> None:
        """Run a periodic job, and print its numbers."""
        if options["until_idle"] or options["seconds"] is not None:
            raise bad_input(f"--once {job} delivers nothing; leave out --until-idle and --seconds.")
        self.connect()
        done = jobs.prune(dry_run=dry_run) if job == "prune" else jobs.reconcile(source, batch=batch)
        self.print({"dry_run": dry_run, **done.facts}, lambda: "\n".join(done.lines), as_json=as_json)
        if done.has_failed:
            raise SystemExit(1)

    def run_drain(
        self, *, seconds: float | None, until_idle: bool, timer: bool, as_json: bool, **_options: Any
    ) -> None:
        """Run the drain, and print its numbers and the reasons for what it did not deliver."""
        newest = None
        if until_idle or seconds is not None:  # A drain without an end waits for a database that is away.
            self.connect()
            newest = NewestRows.read()
        else:
            self.stderr.write(FOLLOW, self.style.SUCCESS)
        with stop_on_signal() as stop, ticking() if timer and not until_idle else nullcontext():
            run = drain_with_jobs if timer and until_idle else drain
            tally = run(seconds=seconds, until_idle=until_idle, stop=stop)
        # Not without an end: the reasons of days would be neither short nor new.
        found = newest.undelivered(clock.measured_now()) if newest else {}
        facts = {**asdict(tally), **{name: reasons.facts() for name, reasons in found.items()}}
        self.print(facts, lambda: "\n".join(report(tally, found)), as_json=as_json)
        if until_idle and tally.delivered < tally.sent:
            raise SystemExit(1)


def report(tally: Tally, found: Mapping[str, Reasons]) -> Iterator[str]:
    """Yield the numbers, and a line for each reason."""
    yield f"Events fanned out: {tally.events}. Requests sent: {tally.sent}, delivered: {tally.delivered}."
    lines = [line for name, reasons in found.items() for line in reasons.lines(*TEXTS[name])]
    if found and tally.events and not tally.sent and not lines:
        lines = [NO_WEBHOOK]
    elif not found and tally.delivered < tally.sent:
        failed = counted(tally.sent - tally.delivered, "request")
        lines = [f"{failed} failed: webhooks_tail shows the attempts."]
    yield from (f"  {line}" for line in lines)


def drain_with_jobs(*, seconds: float | None, until_idle: bool, stop: threading.Event) -> Tally:
    """Run drains until nothing is due, and the jobs of users before each of them: the end of a snapshot follows its objects."""
    began_at, timer, total = monotonic(), Timer(), Tally()
    while True:
        are_unfinished = timer.work_on_jobs(stop)
        left = None if seconds is None else max(0.0, seconds - (monotonic() - began_at))
        tally = drain(seconds=left, until_idle=until_idle, stop=stop)
        total = Tally(total.events + tally.events, total.sent + tally.sent, total.delivered + tally.delivered)
        # A job that waits for retries has nothing to send now.
        if stop.is_set() or left == 0.0 or not (are_unfinished and tally.sent):
            return total


def drain(*, seconds: float | None, until_idle: bool, stop: threading.Event) -> Tally:
    """Run a drain; if it runs until it is stopped, in a slot that shows other processes that it runs."""
    slot = CommandSlot()
    checked = on_fresh_connections(fan_out)
    try:
        return Drain(fan_out=checked if until_idle else slot.renewed_by(checked), slot=lambda: slot.number).run(
            seconds=seconds, stop=stop, until_idle=until_idle
        )
    finally:
        with suppress(DatabaseError):  # It expires by itself.
            slot.release(clock.now())


def on_fresh_connections(
    fan_out_once: Callable[[datetime], int], *, clock: Callable[[], float] = monotonic
) -> Callable[[datetime], int]:
    """Return ``fan_out_once`` with a regular check that closes broken connections, and those older than CONN_MAX_AGE.

    Django does so at the end of a request and django-q2 before a task, but a command must do it itself. Not each time:
    with Django's default for CONN_MAX_AGE, 0, each check closes the connection.
    """
    checked_at = clock()

    def checked(now: datetime) -> int:
        nonlocal checked_at
        if clock() - checked_at >= CONNECTIONS_CHECKED_EVERY:
            checked_at = clock()
            close_old_connections()
        return fan_out_once(now)

    return checked


class CommandSlot:
    """Holds the first free slot, and renews it while the drain's loop turns: other processes see that it runs, and wake it."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self.number: int | None = None
        self._owner = f"{socket.gethostname()[:20]}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._clock = clock
        self._renew_at = clock()

    def renewed_by(self, fan_out: Callable[[datetime], int]) -> Callable[[datetime], int]:
        """Return ``fan_out``, which the loop calls in each turn, with the renewal of the slot."""

        def renewing(now: datetime) -> int:
            if self._clock() >= self._renew_at:
                self._renew_at = self._clock() + RENEWED_EVERY
                until = now + timedelta(seconds=min(HOLD + worker_drain.DRAIN_SLEEP, LONGEST))
                number = self.number or FIRST
                while not DrainSlot.objects.take(number, owner=self._owner, now=now, until=until):
                    number += 1
                self.number = number
            return fan_out(now)

        return renewing

    def release(self, now: datetime) -> None:
        """Give up the slot."""
        if self.number is not None:
            DrainSlot.objects.release(self.number, owner=self._owner, now=now)
