"""The periodic jobs. The queue runs them, and ``webhooks_drain`` those that no queue runs."""

from __future__ import annotations

from django.utils.module_loading import import_string

from tms_webhooks.conf import app_settings
from tms_webhooks.queues.base import PeriodicJob

PRUNE_MINUTES = 60
RECONCILE_MINUTES = 24 * 60

DUE_JOBS = "tms_webhooks.tasks.enqueue_due_jobs"
"""The task that enqueues the periodic jobs that are due."""
OTHER_TASKS = {"tms_webhooks.tasks.drain", DUE_JOBS}
"""The tasks that are no periodic jobs."""


def periodic_jobs() -> tuple[PeriodicJob, ...]:
    """Return the periodic jobs, with the intervals that the settings set."""
    return (
        PeriodicJob("tms_webhooks sweep", "tms_webhooks.tasks.sweep", 1),
        PeriodicJob("tms_webhooks jobs", "tms_webhooks.tasks.work_on_jobs", 1),
        PeriodicJob("tms_webhooks expiry", "tms_webhooks.tasks.scan_expiring", app_settings.EXPIRY_MINUTES),
        PeriodicJob("tms_webhooks prune", "tms_webhooks.tasks.prune", PRUNE_MINUTES),
        PeriodicJob("tms_webhooks reconcile", "tms_webhooks.tasks.reconcile", RECONCILE_MINUTES),
    )


def run_task(function: str, *args: object) -> None:
    """Run the task at this dotted path; raise `ValueError` for any other path: the message of a broker is input."""
    if function not in OTHER_TASKS | {job.function for job in periodic_jobs()}:
        raise ValueError(f"{function!r} is not a task of tms_webhooks.")
    import_string(function)(*args)
