"""``manage.py webhooks_prune``: delete stored data whose retention period is over."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from django.utils import timezone

from tms_webhooks.management.database_command import DatabaseCommand
from tms_webhooks.management.progress import Progress
from tms_webhooks.management.stopping import stop_on_signal
from tms_webhooks.outbox import prune as pruning


class Command(DatabaseCommand):
    """Prune in batches until all is done or a signal arrives."""

    help = (
        "Blank payloads and delete attempts, events and marks that are older than KEEP_PAYLOADS_DAYS and "
        "KEEP_ATTEMPTS_DAYS, in small transactions. A scheduled task does the same every hour. After SIGTERM "
        "or SIGINT it ends with the current batch, and the next run continues. Exit status 0: done, or "
        "stopped."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options."""
        parser.add_argument("--dry-run", action="store_true", help="count only, and change nothing")
        parser.add_argument("--json", action="store_true", dest="as_json", help="print one JSON object")

    def handle(self, *, dry_run: bool, as_json: bool, **_options: Any) -> None:
        """Prune or count, and print the numbers."""
        now = timezone.now()
        if dry_run:
            pruned = pruning.prunable(now)
        else:
            with stop_on_signal() as stop:
                progress = progress_bar(now) if sys.stderr.isatty() else no_progress
                pruned = pruning.prune(now, stop=stop.is_set, progress=progress)
        facts = asdict(pruned)
        if as_json:
            self.stdout.write(json.dumps({"dry_run": dry_run, **facts}))
        else:
            counts = ", ".join(f"{count} {name}" for name, count in facts.items())
            self.stdout.write(f"{'It would prune' if dry_run else 'Pruned'} {counts}.")


def progress_bar(now: datetime) -> Callable[[int], None]:
    """Return a function that shows a number of pruned rows as a bar."""
    total = sum(asdict(pruning.prunable(now)).values())
    progress = Progress(sys.stderr, total=total)
    progress.show(0)
    return lambda rows: progress.show(min(rows, total))


def no_progress(_rows: int) -> None:
    """Show nothing."""
