"""Read from the tables whether any worker delivers, and assess it.

A running process is no proof: a cluster whose worker was killed can hang and never take a task again. Completed work is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from tms_webhooks.choices import ErrorClass
from tms_webhooks.conf import SETTING_NAME, app_settings
from tms_webhooks.db.clock import on_this_machine
from tms_webhooks.delivery.notifications import keys_missing
from tms_webhooks.delivery.outcome import OUR_OWN_FAULT
from tms_webhooks.models import DeliveryAttempt, DrainSlot, PeriodicRun, Webhook
from tms_webhooks.monitoring.backlog import Backlog, backlog
from tms_webhooks.net.proxy import configured_proxy
from tms_webhooks.queues import Queue
from tms_webhooks.queues.periodic import periodic_jobs

# Without a drain for longer, the workers have stopped: the sweep starts one every minute, and the scheduler polls every 30 s.
MAX_SECONDS_WITHOUT_DRAIN = 180.0

LEAST_PROXY_FAILURES = 2
MOST_PROXY_FAILURES = 20
"""Attempts that are read. If all of them failed at the proxy, it is down; after one failure it may be well again."""
BEFORE_PROXY = {*OUR_OWN_FAULT, ErrorClass.KEYS_MISSING, ErrorClass.DNS_ERROR, ErrorClass.TOKEN_ERROR}
"""Errors of attempts that do not show whether the proxy works."""


class HealthLevel(IntEnum):
    """The exit status of ``webhooks_health``."""

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
    """

    backlog: Backlog
    drains: int
    drain_gone_seconds: float | None
    last_attempt_seconds: float | None
    webhooks_without_keys: int = 0
    proxy_failures: int = 0


@dataclass(frozen=True, slots=True)
class HealthReport:
    """The level, and a reason for each problem: what is wrong and what to do."""

    level: HealthLevel
    reasons: tuple[str, ...]


def read_liveness(*, now: datetime) -> Liveness:
    """Read the backlog and the activity of drains."""
    # ``held_until`` of a free slot is when it was given up; of a held one, when it expires.
    slots = list(DrainSlot.objects.values_list("owner", "held_until"))
    held = DrainSlot.objects.held(now).count()
    gone = min(((now - until).total_seconds() for _owner, until in slots), default=None)
    last = DeliveryAttempt.objects.order_by("-started_at").values_list("started_at", flat=True).first()
    return Liveness(
        backlog=backlog(now=now),
        drains=held,
        drain_gone_seconds=0.0 if held else None if gone is None else max(0.0, gone),
        last_attempt_seconds=None if last is None else max(0.0, (now - last).total_seconds()),
        webhooks_without_keys=Webhook.objects.without_keys(now).count(),
        proxy_failures=proxy_failures(now=now),
    )


def proxy_failures(*, now: datetime) -> int:
    """Return how many of the newest attempts failed at the egress proxy; 0 unless all of them did, and without a proxy."""
    if not app_settings.PROXY_URL:
        return 0
    # Each delivery is tried again after PROXY_WAIT.
    since = now - timedelta(seconds=2 * app_settings.PROXY_WAIT + 60)
    rows = DeliveryAttempt.objects.filter(started_at__gt=since).exclude(error_class__in=BEFORE_PROXY)
    errors = list(rows.order_by("-started_at").values_list("error_class", flat=True)[:MOST_PROXY_FAILURES])
    return len(errors) if len(errors) >= LEAST_PROXY_FAILURES and set(errors) == {ErrorClass.PROXY_ERROR} else 0


def proxy_reason(failures: int) -> str:
    """Return what is wrong with the egress proxy, and the remedy; empty without failures."""
    proxy = configured_proxy() if failures else None
    if proxy is None:
        return ""
    return (
        f"The egress proxy {proxy.host}:{proxy.port} opens no tunnel: the last {failures} attempts failed. Deliveries wait and "
        f"lose no retries. Check the proxy and {SETTING_NAME}['PROXY_URL']. Each delivery is tried again within "
        f"{app_settings.PROXY_WAIT * (1 + app_settings.RETRY_JITTER):.0f} s."
    )


def overdue_jobs(queue: Queue, *, now: datetime) -> list[str]:
    """Return the names of the periodic jobs that no process has begun in time. Of one that never ran, the queue knows."""
    grace = timedelta(seconds=MAX_SECONDS_WITHOUT_DRAIN)
    started = PeriodicRun.objects.started(now=now)
    never = {job.name for job in periodic_jobs() if job.function not in started}
    return [name for name in queue.overdue(on_this_machine(now) - grace) if name in never] + [
        job.name
        for job in queue.scheduled(periodic_jobs())
        if job.function in started and started[job.function] < now - timedelta(minutes=job.minutes) - grace
    ]


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
    wrong_schedules: Sequence[str] = (),
) -> HealthReport:
    """Return the level and its reasons.

    Args:
        found: The backlog and the activity of drains.
        max_lag: Seconds after which a due delivery or a new event is late.
        keeps_drains: Whether the queue keeps a drain running all the time.
        workers: Name of the queue's worker processes.
        overdue: Names of periodic jobs that did not run when they were due.
        wrong_schedules: One sentence for each missing or outdated schedule of a periodic job.

    The level is `HealthLevel.LATE` where something is late although a drain runs or an attempt began within
    ``max_lag``. It is `HealthLevel.STOPPED` where something is late and no worker delivers.
    """
    reasons = []
    level = HealthLevel.OK
    late = _late(found.backlog, max_lag)
    if late and _is_delivering(found, max_lag):
        level = HealthLevel.LATE
        reasons.append(f"{late}, although deliveries are being made. {_bottleneck(found.backlog)}")
    elif late:
        level = HealthLevel.STOPPED
        reasons.append(
            f"{late}, and no worker delivers: {_absence(found)}. {_remedy(workers, keeps_drains=keeps_drains)}"
        )
    elif keeps_drains and _has_stopped(found):
        level = HealthLevel.LATE
        reasons.append(
            f"Deliveries will be late, because {_absence(found)}. "
            f"Start or restart {workers}, or run manage.py webhooks_drain."
        )
    if found.webhooks_without_keys:
        reasons.append(f"Held webhooks: {found.webhooks_without_keys}. {keys_missing()}")
    if reason := proxy_reason(found.proxy_failures):
        reasons.append(reason)
    if overdue:
        reasons.append(
            f"Periodic jobs did not run: {', '.join(overdue)}. Run manage.py webhooks_drain, or start or restart {workers}."
        )
    if wrong_schedules:
        reasons.append(f"Schedules of the queue are wrong: {'; '.join(wrong_schedules)}. Run manage.py migrate.")
    return HealthReport(max(level, HealthLevel.LATE) if reasons else level, tuple(reasons))


def _has_stopped(found: Liveness) -> bool:
    gone = found.drain_gone_seconds
    return not found.drains and (gone is None or gone > MAX_SECONDS_WITHOUT_DRAIN)


def _is_delivering(found: Liveness, max_lag: float) -> bool:
    return found.drains > 0 or (found.last_attempt_seconds is not None and found.last_attempt_seconds <= max_lag)


def _late(waiting: Backlog, max_lag: float) -> str:
    if waiting.oldest_due_seconds is not None and waiting.oldest_due_seconds > max_lag:
        return f"A delivery of webhook {waiting.oldest_due_webhook} has been due for {waiting.oldest_due_seconds:.0f} s"
    if waiting.oldest_event_seconds is not None and waiting.oldest_event_seconds > max_lag:
        return f"An event has waited for its deliveries for {waiting.oldest_event_seconds:.0f} s"
    return ""


def _bottleneck(waiting: Backlog) -> str:
    if waiting.oldest_due_webhook is None:
        return "Check the log of the drain; more drains (TMS_WEBHOOKS['DRAINS']) may help."
    return (
        f"See webhooks_status --webhook {waiting.oldest_due_webhook}: its receiver may be slow, or its max in flight or "
        "rate limit too low. If many webhooks are late, raise TMS_WEBHOOKS['DRAINS']."
    )


def _remedy(workers: str, *, keeps_drains: bool) -> str:
    if keeps_drains:
        return f"Restart {workers}: it can hang after one of its processes was killed. Or run manage.py webhooks_drain."
    return "Run manage.py webhooks_drain under a supervisor that restarts it."


def _absence(found: Liveness) -> str:
    if found.drain_gone_seconds is None:
        # A drain that ends when nothing is due takes no slot.
        return "no worker has run a drain yet (webhooks_drain --until-idle is not a worker)"
    return f"no worker has run a drain for {found.drain_gone_seconds:.0f} s"
