"""What has to run regularly: by the queue's schedules, or by a drain that has no queue."""

from __future__ import annotations

from tms_webhooks.conf import app_settings
from tms_webhooks.queues.base import Periodic

PRUNE_MINUTES = 60
RECONCILE_MINUTES = 24 * 60


def periodic_jobs() -> tuple[Periodic, ...]:
    """Return the jobs, by the dotted paths of their tasks."""
    return (
        Periodic("tms_webhooks sweep", "tms_webhooks.tasks.sweep", 1),
        Periodic("tms_webhooks jobs", "tms_webhooks.tasks.work_on_jobs", 1),
        Periodic(
            "tms_webhooks expiry", "tms_webhooks.tasks.scan_expiring", app_settings.EXPIRY_MINUTES, "EXPIRY_MINUTES"
        ),
        Periodic("tms_webhooks prune", "tms_webhooks.tasks.prune", PRUNE_MINUTES),
        Periodic("tms_webhooks reconcile", "tms_webhooks.tasks.reconcile", RECONCILE_MINUTES),
    )
