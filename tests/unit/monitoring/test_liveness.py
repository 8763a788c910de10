"""Assess backlog and drain activity: a table of cases."""

from dataclasses import replace

import pytest

from tms_webhooks.monitoring.figures import Backlog
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
    leased=0,
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


def liveness(backlog, *, drains, drain_gone_seconds, last=None, **figures):
    return Liveness(
        backlog=backlog, drains=drains, drain_gone_seconds=drain_gone_seconds, last_attempt_seconds=last, **figures
    )


def reasons(found, *, keeps_drains=True, **facts):
    report = assess(found, max_lag=120.0, keeps_drains=keeps_drains, **facts)
    return [*report.stopped, *report.late]


@pytest.mark.parametrize(
    "found, keeps_drains, level",
    [
        # Nothing is late.
        (liveness(QUIET, **WORKING), True, HealthLevel.OK),
        (liveness(replace(QUIET, oldest_event_seconds=120.0), **WORKING), True, HealthLevel.OK),
        # Without a drain for 90 s, with a queue or without.
        (liveness(QUIET, drains=0, drain_gone_seconds=MAX_SECONDS_WITHOUT_DRAIN), True, HealthLevel.OK),
        (liveness(QUIET, drains=0, drain_gone_seconds=MAX_SECONDS_WITHOUT_DRAIN + 1), True, HealthLevel.STOPPED),
        (liveness(QUIET, drains=0, drain_gone_seconds=MAX_SECONDS_WITHOUT_DRAIN + 1), False, HealthLevel.STOPPED),
        (liveness(QUIET, **NEVER), True, HealthLevel.STOPPED),
        # A test that a user sends is an attempt, and no drain.
        (liveness(QUIET, **GONE, last=1.0), False, HealthLevel.STOPPED),
        # Late, and a worker delivers: one or two slow receivers, or too few workers.
        (liveness(LATE_DELIVERY, **WORKING, late_organizations=2), True, HealthLevel.OK),
        (liveness(LATE_DELIVERY, **WORKING, late_organizations=3), True, HealthLevel.LATE),
        (liveness(LATE_EVENT, **WORKING), True, HealthLevel.LATE),
        # Late, and not sent.
        (liveness(LATE_DELIVERY, **WORKING, late_organizations=1, unserved_webhooks=(12,)), True, HealthLevel.STOPPED),
        (liveness(LATE_DELIVERY, **NEVER), False, HealthLevel.STOPPED),
        (liveness(LATE_DELIVERY, drains=0, drain_gone_seconds=80.0, last=121.0), False, HealthLevel.STOPPED),
        (liveness(QUIET, **WORKING, webhooks_without_keys=1), True, HealthLevel.STOPPED),
    ],
)
def test_the_level(found, keeps_drains, level):
    assert assess(found, max_lag=120.0, keeps_drains=keeps_drains).level == level


@pytest.mark.parametrize(
    "found, keeps_drains, reason",
    [
        (liveness(QUIET, **WORKING), True, ""),
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
    assert assess(liveness(QUIET, **WORKING), max_lag=120.0, keeps_drains=True) == HealthReport([], [])


def test_late_deliveries_without_a_worker_are_reported_with_a_remedy():
    assert reasons(liveness(LATE_DELIVERY, **GONE)) == [
        "A delivery of webhook 12 has been due for 310 s, and no worker delivers: no worker has run a drain for 300 s. "
        "Start or restart the queue: it can hang after one of its processes was killed. "
        "Or run manage.py webhooks_drain."
    ]


def test_before_the_first_worker_health_says_that_nothing_is_sent():
    assert reasons(liveness(QUIET, **NEVER, last=5.0), keeps_drains=False) == [
        "Deliveries are not sent, because no worker has run a drain yet (webhooks_drain --until-idle is not a worker). "
        "Run manage.py webhooks_drain under a supervisor that restarts it."
    ]


def test_too_few_workers_are_reported_with_a_remedy():
    remedy = "although drains run. Check their log; more drains (TMS_WEBHOOKS['DRAINS']) may help."
    late_event = liveness(LATE_EVENT, **WORKING, late_organizations=4)

    assert reasons(late_event) == [f"An event has waited for its deliveries for 125 s, {remedy}"]
    assert reasons(liveness(LATE_DELIVERY, **WORKING, late_organizations=4)) == [
        f"Deliveries of 4 organizations are late, {remedy}"
    ]


@pytest.mark.parametrize(
    "webhooks, named", [((12,), "12"), (tuple(range(1, 14)), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 3 more")]
)
def test_webhooks_that_get_nothing_are_named(webhooks, named):
    assert reasons(liveness(LATE_DELIVERY, **WORKING, unserved_webhooks=webhooks)) == [
        f"Webhooks whose due deliveries are not sent, although a drain runs: {named}. Check its log, and restart it."
    ]


@pytest.mark.parametrize(
    "found, stopped, level",
    [
        (liveness(QUIET, **WORKING), 0, HealthLevel.LATE),
        (liveness(LATE_DELIVERY, **GONE), 1, HealthLevel.STOPPED),
    ],
)
def test_schedules_that_do_not_run_are_less_urgent_than_stopped_workers(found, stopped, level):
    report = assess(found, max_lag=120.0, keeps_drains=True, overdue=["tms_webhooks expiry", "tms_webhooks prune"])

    assert len(report.stopped) == stopped
    assert report.level == level
    (reason,) = report.late
    assert "Periodic jobs did not run: tms_webhooks expiry, tms_webhooks prune." in reason
