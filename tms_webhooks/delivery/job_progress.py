"""The progress of a job: how its deliveries ended, and how many wait."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tms_webhooks.choices import DeliveryStatus, JobKind
from tms_webhooks.db.sql import read
from tms_webhooks.delivery.replay import OF_WAITING
from tms_webhooks.models import Job
from tms_webhooks.models.delivery import OPEN

MOST_COUNTED = 100_000
"""Each number is counted up to this one, so that a job of millions of deliveries takes no longer to show."""

# Count the deliveries of a job in some statuses: those that it created, or was the last to reopen. By tms_delivery_of_job.
COUNT = """SELECT {job}, '{name}', COUNT(*) FROM (
    SELECT 1 FROM {{delivery}} WHERE job = {job} AND status IN ({statuses}) LIMIT {most}) counted"""


def _listed(statuses: Iterable[str]) -> str:
    return ", ".join(f"'{status}'" for status in statuses)


STATUSES: Mapping[str, str] = {
    "delivered": _listed([DeliveryStatus.DELIVERED.value]),
    "failed": _listed([DeliveryStatus.EXHAUSTED.value, DeliveryStatus.FAILED.value]),
    "skipped": _listed([DeliveryStatus.SKIPPED.value]),
    "cancelled": _listed([DeliveryStatus.CANCELLED.value]),
    "waiting": _listed(OPEN),
}
"""The statuses of each number of `JobProgress`, as a list of SQL."""


@dataclass(frozen=True, slots=True)
class JobProgress:
    """The numbers of a job's deliveries, each counted up to a limit.

    - ``failed``: no retry follows
    - ``skipped``: not sent, because the webhook was disabled
    - ``cancelled``: not sent, because a user cancelled them, or deleted the webhook or the data of the event
    - ``waiting``: not attempted yet, in flight, or waiting for a retry
    """

    delivered: int
    failed: int
    skipped: int
    cancelled: int
    waiting: int


def progress(job: Job) -> JobProgress | None:
    """Return the numbers of a job's deliveries; None for a job that cancels deliveries, or makes waiting ones due."""
    return progress_by_job([job]).get(job.pk)


def progress_by_job(jobs: Iterable[Job], *, most: int | None = None) -> dict[int, JobProgress]:
    """Return the numbers of the deliveries of these jobs, by key, in one query; jobs without numbers are left out.

    Each number is counted up to ``most``, by default `MOST_COUNTED`.
    """
    keys = [job.pk for job in jobs if JobKind(job.kind) not in OF_WAITING]
    counts = [
        COUNT.format(name=name, job=int(key), statuses=statuses, most=most or MOST_COUNTED)
        for key in keys
        for name, statuses in STATUSES.items()
    ]
    found: dict[int, dict[str, int]] = {key: {} for key in keys}
    for key, name, count in read(" UNION ALL ".join(counts)) if counts else ():
        found[key][name] = count
    return {key: JobProgress(**numbers) for key, numbers in found.items()}
