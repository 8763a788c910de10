"""``manage.py webhooks_drain``: deliver webhooks in the foreground, without a queue; or run one periodic job once."""

from __future__ import annotations

import threading
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from django.db import DatabaseError
from django.utils import timezone

from tms_webhooks import reconciliation
from tms_webhooks.db import clock
from tms_webhooks.management.base import WebhooksCommand, add_options, bad_input, stop_on_signal
from tms_webhooks.management.base import seconds as number_of_seconds
from tms_webhooks.management.timer import Timer, ticking
from tms_webhooks.models import Delivery, DrainSlot
from tms_webhooks.models.drain import new_owner
from tms_webhooks.monitoring.words import counted
from tms_webhooks.outbox import prune as pruning
from tms_webhooks.worker.drain import Drain, Tally

FIRST = 10_001
"""The lowest number of a slot, beyond those that ``DRAINS`` counts. Several commands hold consecutive numbers."""
HOLD = timedelta(seconds=25)
"""For how long a slot is held without being renewed: a drain that hangs loses it. A drain renews it with its leases."""
PROBLEMS = ("failed", "failed_objects", "unbuilt")
"""Of a pass of reconciliation."""
FOLLOW = "Delivering (stop with Ctrl-C). To see the attempts: webhooks_tail --follow"
NO_WEBHOOK = (
    "No enabled webhook matches these events, by subscription, filters and audience. The page of an event in the admin gives "
    "the reason for each webhook."
)


class Command(WebhooksCommand):
    """Run one drain in the foreground, or one periodic job."""

    help = (
        "Deliver webhooks in the foreground until SIGTERM, SIGINT or SIGHUP, which let it finish its requests. A second signal "
        "ends it immediately. Run several, on any number of machines, also together with a queue: TMS_WEBHOOKS['DRAINS'] does "
        "not count them. It also runs each periodic job that no other process has run in time. With --once, it delivers "
        "nothing. 'prune' deletes what KEEP_PAYLOADS_DAYS and KEEP_ATTEMPTS_DAYS do not keep. 'reconcile' records events "
        "for out-of-band changes of sources with reconcile = True. Exit status 0: it ended as requested. 1: with "
        "--until-idle, a request failed, also if it is tried again later. With --once reconcile, a source or an object "
        "failed, or an event can't be built; see the log. 2: an argument is invalid, and nothing was started."
    )

    is_service = True

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
        add_options(parser, "--dry-run", help="with --once prune: count only, and change nothing")
        add_options(parser, "--json")

    def handle(self, *, once: str | None, **options: Any) -> None:
        """Run the drain or the job."""
        if options["dry_run"] and once != "prune":
            raise bad_input("--dry-run needs --once prune.")
        if once is not None:
            self.run_once(once, **options)
        else:
            self.run_drain(**options)

    def run_once(self, job: str, *, dry_run: bool, as_json: bool, **options: Any) -> None:
        """Run a periodic job or count what it would do, and print its numbers."""
        if options["until_idle"] or options["seconds"] is not None:
            raise bad_input(f"--once {job} delivers nothing; leave out --until-idle and --seconds.")
        self.connect()
        facts, lines, has_failed = prune(dry_run=dry_run) if job == "prune" else reconcile()
        self.print({"dry_run": dry_run, **facts}, "\n".join(lines), as_json=as_json)
        if has_failed:
            raise SystemExit(1)

    def run_drain(
        self, *, seconds: float | None, until_idle: bool, timer: bool, as_json: bool, **_options: Any
    ) -> None:
        """Run the drain, and print its numbers."""
        has_end = until_idle or seconds is not None
        if has_end:  # A drain without an end waits for a database that is away.
            self.connect()
        else:
            self.stderr.write(FOLLOW, self.style.SUCCESS)
        with stop_on_signal() as stop, ticking() if timer and not until_idle else nullcontext():
            if timer and until_idle:
                tally = drain_with_jobs(seconds=seconds, stop=stop)
            else:
                tally = drain(seconds=seconds, until_idle=until_idle, stop=stop)
        waiting = Delivery.objects.open().count() if has_end else 0
        facts = {**asdict(tally), **({"waiting": waiting} if has_end else {})}
        self.print(facts, "\n".join(report(tally, waiting)), as_json=as_json)
        if until_idle and tally.delivered < tally.sent:
            raise SystemExit(1)


def report(tally: Tally, waiting: int) -> Iterator[str]:
    """Yield the numbers, and the commands that show the reasons for missing deliveries."""
    yield f"Events fanned out: {tally.events}. Requests sent: {tally.sent}, delivered: {tally.delivered}."
    if tally.delivered < tally.sent:
        yield f"  {counted(tally.sent - tally.delivered, 'request')} failed: webhooks_tail shows the attempts."
    if waiting:
        waits = counted(waiting, "delivery waits", "deliveries wait")
        yield f"  {waits}: webhooks_tail shows when retries are due, and webhooks_health the webhooks that get nothing."
    elif tally.events and not tally.sent:
        yield f"  {NO_WEBHOOK}"


def prune(*, dry_run: bool) -> tuple[Mapping[str, Any], Sequence[str], bool]:
    """Blank and delete stored data whose retention period is over, or count it; return facts, lines and whether it failed."""
    now = timezone.now()
    with stop_on_signal() as stop:
        facts = pruning.prunable(now) if dry_run else pruning.prune(now, stop=stop.is_set)
    counts = ", ".join(f"{count} {name}" for name, count in facts.items())
    return facts, [f"{'It would prune' if dry_run else 'Pruned'} {counts}."], False


def reconcile() -> tuple[Mapping[str, Any], Sequence[str], bool]:
    """Emit events for out-of-band changes; return facts, a line for each source, and whether one failed."""
    with stop_on_signal() as stop:
        found = reconciliation.reconcile_all(reconciliation.reconciled_sources(), now=timezone.now(), stop=stop.is_set)
    facts = {source.name: asdict(result) for source, result in found.items()}
    failed = [name for name, result in facts.items() if any(result[problem] for problem in PROBLEMS)]
    lines = [
        f"{name}: {', '.join(f'{value} {field}' for field, value in result.items() if type(value) is int)}."
        for name, result in facts.items()
    ]
    if failed:
        lines.append(f"Failures are in the log, and the next run tries again: {', '.join(failed)}.")
    elif not all(result["finished"] for result in facts.values()):
        lines.append("Stopped; the next run continues.")
    none = "No source has reconcile = True: nothing was compared. Set it in the class of a source."
    return {"sources": facts}, lines or [none], bool(failed)


def drain_with_jobs(*, seconds: float | None, stop: threading.Event) -> Tally:
    """Run drains until nothing is due, and the jobs of users before each of them: the end of a snapshot follows its objects."""
    began_at, timer, total = monotonic(), Timer(), Tally()
    while True:
        are_unfinished = timer.work_on_jobs(stop)
        left = None if seconds is None else max(0.0, seconds - (monotonic() - began_at))
        tally = drain(seconds=left, until_idle=True, stop=stop)
        total = Tally(total.events + tally.events, total.sent + tally.sent, total.delivered + tally.delivered)
        # A job that waits for retries has nothing to send now.
        if stop.is_set() or left == 0.0 or not (are_unfinished and tally.sent):
            return total


def drain(*, seconds: float | None, until_idle: bool, stop: threading.Event) -> Tally:
    """Run a drain. One that runs until it is stopped has a slot."""
    if until_idle:
        return Drain().run(seconds=seconds, stop=stop, until_idle=True)
    slot = CommandSlot()
    try:
        return Drain(renew_slot=slot.renew).run(seconds=seconds, stop=stop)
    finally:
        with suppress(DatabaseError):  # The slot expires by itself.
            slot.release(clock.now())


class CommandSlot:
    """The slot of a drain that a command runs, by which other processes see that it runs: the first free one."""

    def __init__(self) -> None:
        self._number, self._owner = FIRST, new_owner()

    def renew(self, now: datetime) -> int:
        """Hold the slot from now on, and return its number."""
        while not DrainSlot.objects.take(self._number, owner=self._owner, now=now, until=now + HOLD):
            self._number += 1
        return self._number

    def release(self, now: datetime) -> None:
        """Give up the slot."""
        DrainSlot.objects.release(self._number, owner=self._owner, now=now)
