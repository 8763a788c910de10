"""Read from the tables whether any worker delivers, and assess it.

A running process is no proof: a cluster whose worker was killed can hang and never take a task again. Completed work is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum
from typing import NamedTuple

from django.db import Error, connections, router
from django.db.migrations.executor import MigrationExecutor

from tms_webhooks.choices import OUR_OWN_FAULT, ErrorClass
from tms_webhooks.conf import SETTING_NAME, app_settings
from tms_webhooks.db import clock
from tms_webhooks.db.sql import key_in
from tms_webhooks.models import DeliveryAttempt, DrainSlot, PeriodicRun, Webhook, WebhookState
from tms_webhooks.monitoring.figures import Backlog, WebhookBacklog, backlog, backlog_by_webhook, seconds_since
from tms_webhooks.monitoring.words import OUTAGE_REMEDY, keys_missing, proxy_down
from tms_webhooks.net import proxy
from tms_webhooks.queues import Queue, get_queue, periodic_jobs

MAX_LAG = 120.0
"""Seconds after which a due delivery is late, by default."""
MAX_SECONDS_WITHOUT_DRAIN = 90.0
"""Without a drain for longer, the workers have stopped: each drain begins when the last one ends."""
JOB_GRACE = timedelta(minutes=3)
"""For how long a periodic job may be late. The queue starts the sweep every minute, and django-q2 polls every 30 s."""
LATE_ORGANIZATIONS = 3
"""If fewer have late deliveries, their receivers are slow; if more, the workers are."""

MOST_NAMED = 10
"""Webhooks that a reason names."""

LEAST_PROXY_FAILURES = 2
MOST_PROXY_FAILURES = 20
"""Attempts that are read. If all of them failed at the proxy, it is down; after one failure it may be well again."""
BEFORE_PROXY = {*OUR_OWN_FAULT, ErrorClass.KEYS_MISSING, ErrorClass.DNS_ERROR, ErrorClass.TOKEN_ERROR}
"""Errors of attempts that do not show whether the proxy works."""


class HealthLevel(IntEnum):
    """The exit status of ``webhooks_health``: all is well; act within the day; act now, because nothing is sent."""

    OK = 0
    LATE = 1
    STOPPED = 2


@dataclass(frozen=True, slots=True)
class Liveness:
    """The backlog and the activity of drains.

    Attributes:
        backlog: Open deliveries and new events.
        drains: Number of drains that hold a slot now.
        drain_gone_seconds: Seconds since the last drain gave up its slot; 0 while one holds one, None if none ever did.
        last_attempt_seconds: Seconds since the last attempt began, in any process; None without attempts.
        webhooks_without_keys: Number of webhooks that are held because no encryption key decrypts their secrets.
        proxy_failures: Number of the newest attempts that failed at the egress proxy, at most 20; 0 unless all of them did.
        late_organizations: Number of organizations with a late delivery of a webhook whose last attempt succeeded.
        unserved_webhooks: Keys of the webhooks with a late delivery, but with no attempt since then.
        cut_off: A sentence for each drain that reaches no receiver at all.
    """

    backlog: Backlog
    drains: int
    drain_gone_seconds: float | None
    last_attempt_seconds: float | None
    webhooks_without_keys: int = 0
    proxy_failures: int = 0
    late_organizations: int = 0
    unserved_webhooks: tuple[int, ...] = ()
    cut_off: tuple[str, ...] = ()


class HealthReport(NamedTuple):
    """The problems of each level: a sentence for each, with its remedy."""

    stopped: Sequence[str] = ()
    late: Sequence[str] = ()

    @property
    def level(self) -> HealthLevel:
        """The level of the worst problem."""
        if self.stopped:
            return HealthLevel.STOPPED
        return HealthLevel.LATE if self.late else HealthLevel.OK


def examine(*, max_lag: float = MAX_LAG) -> tuple[Liveness, HealthReport]:
    """Return the figures and the report."""
    now, queue = clock.measured_now(), get_queue()
    found, started = read_liveness(now=now, max_lag=max_lag), PeriodicRun.objects.started(now=now)
    # The periodic jobs that have run, and that no process has begun in time since.
    overdue = [
        job.name
        for job in periodic_jobs()
        if job.function in started and started[job.function] < now - timedelta(minutes=job.minutes) - JOB_GRACE
    ]
    return found, assess(
        found,
        max_lag=max_lag,
        keeps_drains=queue.keeps_drains,
        workers=queue.workers,
        overdue=overdue,
    )


def read_liveness(*, now: datetime, max_lag: float = MAX_LAG) -> Liveness:
    """Read the backlog and the activity of drains."""
    # ``held_until`` of a free slot is when it was given up; of a held one, when it expires.
    given_up = list(DrainSlot.objects.values_list("held_until", flat=True))
    held = DrainSlot.objects.held(now).count()
    last = DeliveryAttempt.objects.order_by("-started_at").values_list("started_at", flat=True).first()
    by_webhook = backlog_by_webhook(now=now)
    late = _late_webhooks(by_webhook, now=now, max_lag=max_lag)
    # The receivers of the others do not accept their requests.
    served = Webhook.objects.filter(key_in(late), state__failures=0)
    return Liveness(
        backlog=backlog(by_webhook, now=now),
        drains=held,
        drain_gone_seconds=0.0 if held else seconds_since(max(given_up, default=None), now),
        last_attempt_seconds=seconds_since(last, now),
        webhooks_without_keys=WebhookState.objects.without_keys(now).count(),
        proxy_failures=proxy_failures(now=now),
        late_organizations=served.order_by().values("organization").distinct().count() if late else 0,
        unserved_webhooks=unserved_webhooks(by_webhook, now=now, max_lag=max_lag),
        cut_off=tuple(
            f"The drain of slot {slot.number} has reached no receiver since {slot.unreachable_since}. {OUTAGE_REMEDY}"
            for slot in DrainSlot.objects.cut_off(now).order_by("number")
        ),
    )


def unserved_webhooks(by_webhook: Mapping[int, WebhookBacklog], *, now: datetime, max_lag: float) -> tuple[int, ...]:
    """Return the keys of the webhooks that are late although none of their deliveries was tried since."""
    # A request, with its access token, takes a minute at most.
    lag = max(max_lag, MAX_SECONDS_WITHOUT_DRAIN)
    late = _late_webhooks(by_webhook, now=now, max_lag=lag)
    if not late:
        return ()
    attempts = DeliveryAttempt.objects.filter(started_at__gte=now - timedelta(seconds=lag))
    tried = attempts.filter(delivery__webhook__in=late).values_list("delivery__webhook", flat=True)
    rarely_sent = Webhook.objects.filter(key_in(late), rate_limit_per_second__lt=1 / lag).values_list("pk")
    # The last one: in Django 6.1, a union has the order of its model.
    served = tried.order_by().union(rarely_sent.order_by()).order_by()
    return tuple(sorted(set(late).difference(served)))


def _named(webhooks: Sequence[int]) -> str:
    others = len(webhooks) - MOST_NAMED
    return ", ".join(map(str, webhooks[:MOST_NAMED])) + (f" and {others} more" if others > 0 else "")


def _late_webhooks(by_webhook: Mapping[int, WebhookBacklog], *, now: datetime, max_lag: float) -> list[int]:
    since = now - timedelta(seconds=max_lag)
    return [pk for pk, found in by_webhook.items() if found.due_since is not None and found.due_since < since]


def proxy_failures(*, now: datetime) -> int:
    """Return how many of the newest attempts failed at the egress proxy; 0 unless all of them did, and without a proxy."""
    if not app_settings.PROXY_URL:
        return 0
    # Each delivery is tried again after PROXY_WAIT.
    since = now - timedelta(seconds=2 * proxy.PROXY_WAIT + 60)
    rows = DeliveryAttempt.objects.filter(started_at__gt=since).exclude(error_class__in=BEFORE_PROXY)
    errors = list(rows.order_by("-started_at").values_list("error_class", flat=True)[:MOST_PROXY_FAILURES])
    return len(errors) if len(errors) >= LEAST_PROXY_FAILURES and set(errors) == {ErrorClass.PROXY_ERROR} else 0


def database_problem() -> str:
    """Return that the database does not answer or lacks migrations of this app, and the remedy; otherwise nothing."""
    using = router.db_for_write(Webhook)
    try:
        executor = MigrationExecutor(connections[using])
        if not executor.migration_plan(executor.loader.graph.leaf_nodes("tms_webhooks")):
            return ""
    except Error as error:
        # The reasons of the drivers name host and user, but no password.
        return f"The database does not answer: {' '.join(str(error).split())}"
    return f"The database {using!r} lacks migrations of tms_webhooks. Run: manage.py migrate --database {using}"


def restart_reason(found: Liveness, *, max_lag: float, keeps_drains: bool) -> str:
    """Return why the workers have to be restarted; empty if a restart would not help.

    That is: no worker has run a drain for ``max_lag`` seconds, or something is that late and no worker delivers. A slow receiver,
    a backlog that drains are working on, and a wrong schedule are no reasons.
    """
    gone = found.drain_gone_seconds
    has_stopped = keeps_drains if gone is None else gone > max_lag
    late = _late(found.backlog, max_lag)
    if has_stopped or (late and not _is_delivering(found, max_lag)):
        absence = _absence(found)
        return f"{late}, and {absence}." if late else f"{absence[0].upper()}{absence[1:]}."
    return ""


def assess(
    found: Liveness,
    *,
    max_lag: float,
    keeps_drains: bool,
    workers: str = Queue.workers,
    overdue: Sequence[str] = (),
) -> HealthReport:
    """Return the problems.

    Args:
        found: The backlog and the activity of drains.
        max_lag: Seconds after which a due delivery or a new event is late.
        keeps_drains: Whether the queue keeps a drain running all the time.
        workers: Name of the queue's worker processes.
        overdue: Names of periodic jobs that did not run when they were due.
    """
    stopped, delayed = list[str](), list[str]()
    late, gone = _late(found.backlog, max_lag), found.drain_gone_seconds
    remedy = "Run manage.py webhooks_drain under a supervisor that restarts it."
    if keeps_drains:
        remedy = f"Start or restart {workers}: it can hang after one of its processes was killed. Or run manage.py webhooks_drain."
    if late and not _is_delivering(found, max_lag):
        stopped.append(f"{late}, and no worker delivers: {_absence(found)}. {remedy}")
    elif gone is None or gone > MAX_SECONDS_WITHOUT_DRAIN:
        stopped.append(f"Deliveries are not sent, because {_absence(found)}. {remedy}")
    if found.unserved_webhooks and found.drains:
        named = _named(found.unserved_webhooks)
        stopped.append(
            f"Webhooks whose due deliveries are not sent, although a drain runs: {named}. Check its log, and restart it."
        )
    stopped += found.cut_off
    if found.webhooks_without_keys:
        stopped.append(f"Held webhooks: {found.webhooks_without_keys}. {keys_missing()}")
    if reason := proxy_down(found.proxy_failures):
        stopped.append(reason)
    # Late work of drains that run.
    remedy = f"Check their log; more drains ({SETTING_NAME}['DRAINS']) may help."
    age = found.backlog.oldest_event_seconds
    if found.drains and age is not None and age > max_lag:
        delayed.append(f"An event has waited for its deliveries for {age:.0f} s, although drains run. {remedy}")
    elif found.drains and found.late_organizations >= LATE_ORGANIZATIONS:
        delayed.append(
            f"Deliveries of {found.late_organizations} organizations are late, although drains run. {remedy}"
        )
    if found.backlog.set_aside:
        delayed.append(
            f"Events that are set aside, because their fan-out failed five times: {found.backlog.set_aside}. The first is "
            f"{found.backlog.set_aside_error}. Mend the cause, which the worker's log shows, then run: webhooks_replay set-aside."
        )
    if overdue:
        remedy = f"Run manage.py webhooks_drain, or start or restart {workers}."
        delayed.append(f"Periodic jobs did not run: {', '.join(overdue)}. {remedy}")
    return HealthReport(stopped, delayed)


def _is_delivering(found: Liveness, max_lag: float) -> bool:
    return found.drains > 0 or (found.last_attempt_seconds is not None and found.last_attempt_seconds <= max_lag)


def _late(waiting: Backlog, max_lag: float) -> str:
    if waiting.oldest_due_seconds is not None and waiting.oldest_due_seconds > max_lag:
        return f"A delivery of webhook {waiting.oldest_due_webhook} has been due for {waiting.oldest_due_seconds:.0f} s"
    if waiting.oldest_event_seconds is not None and waiting.oldest_event_seconds > max_lag:
        return f"An event has waited for its deliveries for {waiting.oldest_event_seconds:.0f} s"
    return ""


def _absence(found: Liveness) -> str:
    if found.drain_gone_seconds is None:
        # A drain that ends when nothing is due takes no slot.
        return "no worker has run a drain yet (webhooks_drain --until-idle is not a worker)"
    return f"no worker has run a drain for {found.drain_gone_seconds:.0f} s"
