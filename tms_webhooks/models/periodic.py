"""When each periodic job last began, in whichever process: so that several processes can share the jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from tms_webhooks.queues.base import PeriodicJob

FAR_AHEAD = timedelta(minutes=1)
"""A run that began further in the future than this was recorded before a clock was set back."""

LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)


class PeriodicRunManager(models.Manager["PeriodicRun"]):
    """Records runs."""

    def record(self, function: str, *, now: datetime) -> None:
        """Record that the job at this dotted path begins."""
        if not self.filter(function=function).update(started_at=now):
            self.bulk_create([self.model(function=function, started_at=now)], ignore_conflicts=True)

    def claim(self, function: str, *, now: datetime, unless_since: datetime) -> bool:
        """Record that the job begins, unless it began after ``unless_since``; return whether the caller has to run it.

        Of several processes that call this for the same run, one gets True.
        """
        is_over = Q(started_at__lte=unless_since) | Q(started_at__gt=now + FAR_AHEAD)
        rows = self.filter(is_over, function=function)
        if rows.update(started_at=now):
            return True
        if self.filter(function=function).exists():
            return False
        self.bulk_create([self.model(function=function, started_at=LONG_AGO)], ignore_conflicts=True)
        return bool(rows.update(started_at=now))

    def claim_due(
        self, jobs: Iterable[PeriodicJob], *, clock: Callable[[], datetime], grace: timedelta = timedelta()
    ) -> Iterator[PeriodicJob]:
        """Claim and yield each of these jobs that no process has begun within its interval and ``grace``."""
        started = self.started(now=clock())
        for job in jobs:
            now = clock()
            latest = now - timedelta(minutes=job.minutes) - grace
            if started.get(job.function, LONG_AGO) <= latest and self.claim(job.function, now=now, unless_since=latest):
                yield job

    def started(self, *, now: datetime) -> dict[str, datetime]:
        """Return when each job last began, by its dotted path. Jobs that never ran are absent."""
        return dict(self.filter(started_at__lte=now + FAR_AHEAD).values_list("function", "started_at"))


class PeriodicRun(models.Model):
    """The last run of one periodic job."""

    function = models.CharField(_("function"), max_length=100, unique=True)
    started_at = models.DateTimeField(_("started at"))

    objects = PeriodicRunManager()

    class Meta:
        verbose_name = _("periodic run")
        verbose_name_plural = _("periodic runs")

    def __str__(self) -> str:
        return self.function
