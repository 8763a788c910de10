"""Assess backlog and drain activity: a table of cases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tms_webhooks.monitoring.backlog import Backlog
from tms_webhooks.monitoring.liveness import (
    MAX_SECONDS_WITHOUT_DRAIN,
    HealthLevel,
    HealthReport,
    Liveness,
    assess,
    restart_reason,
)

QUIET = Backlog(
    deliveries=0,
    in_flight=0,
    oldest_due_seconds=None,
    oldest_due_webhook=None,
    events=0,
    oldest_event_seconds=None,
)
LATE_DELIVERY = replace(QUIET, deliveries=3, oldest_due_seconds=310.0, oldest_due_webhook=12)
LATE_EVENT = replace(QUIET, events=3, oldest_event_seconds=125.0)
WORKING = {"drains": 1, "drain_gone_seconds": 0.0}
GONE = {"drains": 0, "drain_gone_seconds": 300.0}
NEVER = {"drains": 0, "drain_gone_seconds": None}


def liveness(backlog: Backlog, *, drains: int, drain_gone_seconds: float | None, last: float | None = None) -> Liveness:
    return Liveness(backlog=backlog, drains=drains, drain_gone_seconds=drain_gone_seconds, last_attempt_seconds=last)


@pytest.mark.parametrize(
    ("found", "keeps_drains", "level"),
    [
        # Nothing is late.
        (liveness(QUIET, **WORKING), True, HealthLevel.OK),
        (liveness(replace(QUIET, oldest_due_seconds=120.0, oldest_due_webhook=1), **WORKING), True, HealthLevel.OK),
        (liveness(replace(QUIET, oldest_event_seconds=120.0), **WORKING), True, HealthLevel.OK),
        # The sweep starts a drain within a minute.
        (liveness(QUIET, drains=0, drain_gone_seconds=MAX_SECONDS_WITHOUT_DRAIN), True, HealthLevel.OK),
        (liveness(QUIET, drains=0, drain_gone_seconds=MAX_SECONDS_WITHOUT_DRAIN + 1), True, HealthLevel.LATE),
        (liveness(QUIET, **NEVER), True, HealthLevel.LATE),
        # A drain that a command runs holds no slot.
        (liveness(QUIET, **GONE), False, HealthLevel.OK),
        (liveness(QUIET, **NEVER), False, HealthLevel.OK),
        # Late, and a worker delivers.
        (liveness(LATE_DELIVERY, **WORKING), True, HealthLevel.LATE),
        (liveness(LATE_EVENT, **WORKING), True, HealthLevel.LATE),
        (liveness(LATE_DELIVERY, **NEVER, last=120.0), False, HealthLevel.LATE),
        # Late, and no worker delivers.
        (liveness(LATE_DELIVERY, **GONE), True, HealthLevel.STOPPED),
        (liveness(LATE_EVENT, **GONE), True, HealthLevel.STOPPED),
        (liveness(LATE_DELIVERY, **NEVER), False, HealthLevel.STOPPED),
        (liveness(LATE_DELIVERY, **GONE, last=121.0), False, HealthLevel.STOPPED),
    ],
)
def test_the_level(found, keeps_drains, level):
    assert assess(found, max_lag=120.0, keeps_drains=keeps_drains).level == level


@pytest.mark.parametrize(
    ("found", "keeps_drains", "reason"),
    [
        (liveness(QUIET, **WORKING), True, ""),
        (liveness(QUIET, drains=0, drain_gone_seconds=120.0), True, ""),
        (liveness(QUIET, drains=0, drain_gone_seconds=121.0), True, "No worker has run a drain for 121 s."),
        # A command that ran once, and hangs or has ended.
        (liveness(QUIET, **GONE), False, "No worker has run a drain for 300 s."),
        (
            liveness(QUIET, **NEVER),
            True,
            "No worker has run a drain yet (webhooks_drain --until-idle is not a worker).",
        ),
        # Deliveries come from elsewhere, such as webhooks_drain --until-idle in a cron job.
        (liveness(QUIET, **NEVER), False, ""),
        (liveness(LATE_DELIVERY, **NEVER, last=120.0), False, ""),
        (
            liveness(LATE_DELIVERY, **NEVER),
            False,
            "A delivery of webhook 12 has been due for 310 s, and no worker has run a drain yet "
            "(webhooks_drain --until-idle is not a worker).",
        ),
        (
            liveness(LATE_EVENT, **GONE),
            True,
            "An event has waited for its deliveries for 125 s, and no worker has run a drain for 300 s.",
        ),
        # Drains work on it: more of them may help, a restart does not.
        (liveness(LATE_DELIVERY, **WORKING), True, ""),
    ],
)
def test_the_reason_to_restart(found, keeps_drains, reason):
    assert restart_reason(found, max_lag=120.0, keeps_drains=keeps_drains) == reason


def test_without_problems_no_reason_is_given():
    assert assess(liveness(QUIET, **WORKING), max_lag=120.0, keeps_drains=True) == HealthReport(HealthLevel.OK, ())


def test_late_deliveries_without_a_worker_are_reported_with_a_remedy():
    (reason,) = assess(liveness(LATE_DELIVERY, **GONE), max_lag=120.0, keeps_drains=True).reasons

    assert reason == (
        "A delivery of webhook 12 has been due for 310 s, and no worker delivers: no worker has run a drain for 300 s. "
        "Restart the queue: it can hang after one of its processes was killed. "
        "Or run manage.py webhooks_drain."
    )


def test_a_late_event_is_reported_as_an_event():
    (reason,) = assess(liveness(LATE_EVENT, **NEVER), max_lag=120.0, keeps_drains=True).reasons

    assert reason.startswith(
        "An event has waited for its deliveries for 125 s, and no worker delivers: no worker has run a drain yet "
        "(webhooks_drain --until-idle is not a worker). "
    )


def test_before_the_first_worker_health_says_that_deliveries_will_be_late():
    (reason,) = assess(liveness(QUIET, **NEVER, last=5.0), max_lag=120.0, keeps_drains=True).reasons

    assert reason == (
        "Deliveries will be late, because no worker has run a drain yet (webhooks_drain --until-idle is not a worker). "
        "Start or restart the queue, or run manage.py webhooks_drain."
    )


def test_a_slow_webhook_is_named():
    (reason,) = assess(liveness(LATE_DELIVERY, **WORKING), max_lag=120.0, keeps_drains=True).reasons

    assert "although deliveries are being made" in reason
    assert "webhooks_status --webhook 12" in reason


def test_wrong_schedules_are_late_and_named_with_a_remedy():
    report = assess(
        liveness(QUIET, **WORKING), max_lag=120.0, keeps_drains=True, wrong_schedules=["one is missing", "one is old"]
    )

    assert report == HealthReport(
        HealthLevel.LATE, ("Schedules of the queue are wrong: one is missing; one is old. Run manage.py migrate.",)
    )


@pytest.mark.parametrize(
    ("found", "level", "count"),
    [
        (liveness(QUIET, **WORKING), HealthLevel.LATE, 1),
        (liveness(LATE_DELIVERY, **GONE), HealthLevel.STOPPED, 2),
    ],
)
def test_schedules_that_do_not_run_are_told_too(found, level, count):
    report = assess(found, max_lag=120.0, keeps_drains=True, overdue=["tms_webhooks expiry", "tms_webhooks prune"])

    assert (report.level, len(report.reasons)) == (level, count)
    assert "Periodic jobs did not run: tms_webhooks expiry, tms_webhooks prune." in report.reasons[-1]
