"""The base of the commands that start a job of the workers: start or count, write the audit log, and wait for the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from django.db import router, transaction
from django.utils import timezone

from tms_webhooks.actors import current_actor
from tms_webhooks.choices import AuditAction, JobStatus
from tms_webhooks.db import clock
from tms_webhooks.exceptions import LimitReached, ReplayError
from tms_webhooks.management.base import WebhooksCommand, bad_input, counted
from tms_webhooks.management.process import progress_bar, stop_on_signal
from tms_webhooks.management.reasons import no_worker
from tms_webhooks.models import AuditEntry, Job, Webhook

POLL_EVERY = 0.5
"""Seconds between two queries of a job's progress."""


class JobCommand(WebhooksCommand):
    """Starts a job for the rows of a webhook, which ``nouns`` name in the singular and the plural."""

    nouns: tuple[str, str]

    def run_job(
        self,
        webhook: Webhook,
        *,
        count: Callable[[], int],
        start: Callable[[], tuple[Job, Mapping[str, Any]]],
        dry_run: bool,
        wait: bool,
        as_json: bool,
        **_options: Any,
    ) -> None:
        """Start the job, or count its rows, and print that. ``start`` also returns the facts for the audit log.

        Exit with 1 if the job fails, or if the wait ends before it.
        """
        try:
            if dry_run:
                facts: dict[str, Any] = {"dry_run": True, self.nouns[1]: count()}
            else:
                with transaction.atomic(using=router.db_for_write(Job)):
                    job, changes = start()
                    audit(AuditAction.JOB_STARTED, webhook, f"job:{job.public_id}", {**changes, "total": job.total})
                facts = {"job": job.pk, self.nouns[1]: job.total, "status": job.status, **self.followed(job, wait=wait)}
        except (ReplayError, LimitReached) as error:
            raise bad_input(self.explained(error, webhook)) from error
        self.print(facts, lambda: self.in_words(facts), as_json=as_json)
        if facts.get("status") == JobStatus.FAILED or facts.get("interrupted"):
            raise SystemExit(1)

    def followed(self, job: Job, *, wait: bool) -> dict[str, Any]:
        """Print a note if no worker runs. With ``wait``, return the facts of the job's end, or of the signal before it."""
        if note := no_worker(clock.measured_now()):
            sys.stderr.write(f"{note}\n")
        if not wait:
            return {}
        is_interrupted = False
        with progress_bar(lambda: job.total) as show, stop_on_signal() as stop:
            while job.finished_at is None and not (is_interrupted := stop.wait(POLL_EVERY)):
                job.refresh_from_db()
                show(job.done)
        return {"status": job.status, "done": job.done, "error": job.error, "interrupted": is_interrupted}

    def explained(self, error: ReplayError | LimitReached, webhook: Webhook) -> str:
        """Return the text of an error."""
        return str(error)

    def in_words(self, facts: Mapping[str, Any]) -> str:
        """Return the facts as a sentence."""
        total = facts[self.nouns[1]]
        number = counted(total, *self.nouns)
        if facts.get("dry_run"):
            return f"{number} {'matches' if total == 1 else 'match'}; nothing was changed."
        if "done" not in facts:
            hint = (
                "The admin shows its progress under Jobs."
                if total
                else "None matches: check the webhook and the time range."
            )
            return f"Job {facts['job']} has started: {number}. {hint}"
        state = f"Job {facts['job']}: {facts['done']} of {number}, {facts['status']}."
        return f"{state} The workers continue it." if facts["interrupted"] else f"{state} {facts['error']}".rstrip()


def audit(action: AuditAction, webhook: Webhook, target: str, changes: Mapping[str, Any] | None = None) -> None:
    """Write an entry of the audit log."""
    AuditEntry.objects.record(
        action, actor=current_actor(), webhook=webhook, now=timezone.now(), target=target, changes=changes
    )
