"""The periodic jobs. The queue runs them, and ``webhooks_drain`` those that no queue runs."""

from __future__ import annotations

from tms_webhooks.conf import app_settings
from tms_webhooks.queues.base import PeriodicJob

PRUNE_MINUTES = 60
RECONCILE_MINUTES = 24 * 60


def periodic_jobs() -> tuple[PeriodicJob, ...]:
    """Return the periodic jobs, with the intervals that the settings set."""
    return (
        PeriodicJob("tms_webhooks sweep", "tms_webhooks.tasks.sweep", 1),
        PeriodicJob("tms_webhooks jobs", "tms_webhooks.tasks.work_on_jobs", 1),
        PeriodicJob(
            "tms_webhooks expiry", "tms_webhooks.tasks.scan_expiring", app_settings.EXPIRY_MINUTES, "EXPIRY_MINUTES"
        ),
        PeriodicJob("tms_webhooks prune", "tms_webhooks.tasks.prune", PRUNE_MINUTES),
        PeriodicJob("tms_webhooks reconcile", "tms_webhooks.tasks.reconcile", RECONCILE_MINUTES),
    )
