"""The base of the commands that start a job of the workers: start or count, and wait for the end."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from django.utils import timezone

from tms_webhooks.actors import current_actor
from tms_webhooks.choices import JobKind, JobStatus
from tms_webhooks.db import clock
from tms_webhooks.exceptions import LimitReached, ReplayError
from tms_webhooks.manage import jobs
from tms_webhooks.management.base import WebhooksCommand, bad_input, counted
from tms_webhooks.management.process import progress_bar, stop_on_signal
from tms_webhooks.management.reasons import no_worker
from tms_webhooks.models import Job, Webhook

POLL_EVERY = 0.5
"""Seconds between two queries of a job's progress."""


class JobCommand(WebhooksCommand):
    """Starts a job for the rows of a webhook, which ``nouns`` name in the singular and the plural."""

    nouns: tuple[str, str]

    def run_job(
        self,
        kind: JobKind,
        webhook: Webhook,
        selection: Mapping[str, Any],
        *,
        dry_run: bool,
        wait: bool,
        as_json: bool,
        **_options: Any,
    ) -> None:
        """Start a job for a selection, or count its rows, and print the result. Exit with 1 if it fails or the wait is cut short."""
        now = timezone.now()
        try:
            if dry_run:
                facts: dict[str, Any] = {
                    "dry_run": True,
                    self.nouns[1]: jobs.count(kind, webhook, now=now, **selection),
                }
            else:
                name = type(self).__module__.rpartition(".")[2]
                job = jobs.start(kind, webhook, actor=current_actor(), now=now, requested_by=name, **selection)
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
        skipped = {"skipped": job.skipped} if job.kind == JobKind.SNAPSHOT else {}
        return {"status": job.status, "done": job.done, "error": job.error, "interrupted": is_interrupted, **skipped}

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
