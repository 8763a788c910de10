"""The progress of a job: how many of its deliveries are delivered, failed and waiting."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tms_webhooks.choices import DeliveryStatus, JobKind
from tms_webhooks.delivery.replay import OF_WAITING
from tms_webhooks.models import Delivery, Job
from tms_webhooks.models.delivery import OPEN, UNSUCCESSFUL

MOST_COUNTED = 100_000
"""Each number is counted up to this one, so that a job of millions of deliveries takes no longer to show."""


@dataclass(frozen=True, slots=True)
class JobProgress:
    """The numbers of a job's deliveries, each up to `MOST_COUNTED`; ``failed`` are those that ended without success."""

    delivered: int
    failed: int
    waiting: int


def progress(job: Job) -> JobProgress | None:
    """Return the numbers of a job's deliveries; None for a job that cancels deliveries, or makes waiting ones due."""
    if JobKind(job.kind) in OF_WAITING:
        return None
    return JobProgress(
        delivered=_count(job, [DeliveryStatus.DELIVERED]),
        failed=_count(job, UNSUCCESSFUL),
        waiting=_count(job, OPEN),
    )


def _count(job: Job, statuses: Collection[DeliveryStatus]) -> int:
    """Return how many of the deliveries that a job created, or was the last to reopen. By ``tms_delivery_of_job``."""
    return Delivery.objects.filter(job=job.pk, status__in=statuses).order_by()[:MOST_COUNTED].count()
