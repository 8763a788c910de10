"""Jobs of the commands: wait for their end, and record them in the audit log."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from tms_webhooks.actors import current_actor
from tms_webhooks.choices import AuditAction
from tms_webhooks.db import clock
from tms_webhooks.management.progress import Progress
from tms_webhooks.management.stopping import stop_on_signal
from tms_webhooks.management.undelivered import no_worker
from tms_webhooks.models import AuditEntry, Job, Webhook

POLL_EVERY = 0.5
"""Seconds between two queries of a job's progress."""


def progress_of(job: Job, *, wait: bool) -> dict[str, Any]:
    """Return nothing about a job that has started; with ``wait``, the facts of its end. Print a note if no worker runs."""
    if note := no_worker(clock.measured_now()):
        sys.stderr.write(f"{note}\n")
    return follow(job) if wait else {}


def how_to_follow(total: int) -> str:
    """Return the sentence that ends the line about a job that has started."""
    return (
        "The admin shows its progress under Jobs." if total else "None matches: check the webhook and the time range."
    )


def follow(job: Job) -> dict[str, Any]:
    """Show the progress of the workers until the job ends or a signal arrives."""
    progress = Progress(sys.stderr, total=job.total)
    with stop_on_signal() as stop:
        interrupted = not wait_for(job, progress, stop)
    progress.end()
    return {"status": job.status, "done": job.done, "error": job.error, "interrupted": interrupted}


def wait_for(job: Job, progress: Progress, stop: threading.Event) -> bool:
    """Wait for the end of a job; return False if a signal arrived first."""
    while job.finished_at is None:
        if stop.wait(POLL_EVERY):
            return False
        job.refresh_from_db()
        progress.show(job.done)
    return True


def audit(action: AuditAction, webhook: Webhook, *, target: str, changes: Mapping[str, Any] | None = None) -> None:
    """Write an entry of the audit log."""
    AuditEntry.objects.record(
        action, actor=current_actor(), webhook=webhook, now=timezone.now(), target=target, changes=changes
    )
