"""The progress of a job: how many of its deliveries are delivered, failed and waiting."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from tms_webhooks.choices import DeliveryStatus, JobKind
from tms_webhooks.delivery.replay import OF_WAITING
from tms_webhooks.models import Delivery, Job
from tms_webhooks.models.delivery import FINISHED, OPEN, DeliveryQuerySet

MOST_COUNTED = 100_000
"""Each number is counted up to this one, so that a job of millions of deliveries takes no longer to show."""

UNSUCCESSFUL = tuple(status for status in FINISHED if status != DeliveryStatus.DELIVERED)


@dataclass(frozen=True, slots=True)
class JobProgress:
    """The numbers of a job's deliveries, each up to `MOST_COUNTED`; ``failed`` are those that ended without success."""

    delivered: int
    failed: int
    waiting: int


def deliveries_of(job: Job) -> DeliveryQuerySet:
    """Return the deliveries that a job created, or was the last one to reopen. Served by ``tms_delivery_of_job``."""
    return Delivery.objects.filter(job=job.pk)


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
    return deliveries_of(job).filter(status__in=statuses).order_by()[:MOST_COUNTED].count()
