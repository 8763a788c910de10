"""What the signs of life mean: a table of cases."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tms_webhooks.delivery.backlog import Backlog
from tms_webhooks.delivery.liveness import CHAIN_PATIENCE, Level, Signs, Verdict, judge

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


def signs(backlog: Backlog, *, drains: int, drain_gone_seconds: float | None, last: float | None = None) -> Signs:
    return Signs(backlog=backlog, drains=drains, drain_gone_seconds=drain_gone_seconds, last_attempt_seconds=last)


@pytest.mark.parametrize(
    ("found", "chains", "level"),
    [
        # Nothing is late.
        (signs(QUIET, **WORKING), True, Level.WELL),
        (signs(replace(QUIET, oldest_due_seconds=120.0, oldest_due_webhook=1), **WORKING), True, Level.WELL),
        (signs(replace(QUIET, oldest_event_seconds=120.0), **WORKING), True, Level.WELL),
        # A chain that has ended is started again by the sweep; it has some time for that.
        (signs(QUIET, drains=0, drain_gone_seconds=CHAIN_PATIENCE), True, Level.WELL),
        (signs(QUIET, drains=0, drain_gone_seconds=CHAIN_PATIENCE + 1), True, Level.LATE),
        (signs(QUIET, **NEVER), True, Level.LATE),
        # Where a command delivers, nobody holds a slot.
        (signs(QUIET, **GONE), False, Level.WELL),
        (signs(QUIET, **NEVER), False, Level.WELL),
        # Late, and somebody works.
        (signs(LATE_DELIVERY, **WORKING), True, Level.LATE),
        (signs(LATE_EVENT, **WORKING), True, Level.LATE),
        (signs(LATE_DELIVERY, **NEVER, last=120.0), False, Level.LATE),
        # Late, and nobody works.
        (signs(LATE_DELIVERY, **GONE), True, Level.STANDING_STILL),
        (signs(LATE_EVENT, **GONE), True, Level.STANDING_STILL),
        (signs(LATE_DELIVERY, **NEVER), False, Level.STANDING_STILL),
        (signs(LATE_DELIVERY, **GONE, last=121.0), False, Level.STANDING_STILL),
    ],
)
def test_the_level(found, chains, level):
    assert judge(found, max_lag=120.0, chains=chains).level == level


def test_all_is_well_without_a_word():
    assert judge(signs(QUIET, **WORKING), max_lag=120.0, chains=True) == Verdict(Level.WELL, ())


def test_standing_still_is_told_with_what_helps():
    (reason,) = judge(signs(LATE_DELIVERY, **GONE), max_lag=120.0, chains=True).reasons

    assert reason == (
        "A delivery of webhook 12 has been due for 310 s, and nobody delivers: no drain has been at work for 300 s. "
        "Restart django-q2 (manage.py qcluster): it can be alive and do nothing once one of its workers was killed. "
        "Or run manage.py webhooks_drain."
    )


def test_a_late_event_is_told_as_one():
    (reason,) = judge(signs(LATE_EVENT, **NEVER), max_lag=120.0, chains=True).reasons

    assert reason.startswith(
        "An event has waited for its deliveries for 125 s, and nobody delivers: no drain was ever at work."
    )


def test_a_slow_webhook_is_named():
    (reason,) = judge(signs(LATE_DELIVERY, **WORKING), max_lag=120.0, chains=True).reasons

    assert "although deliveries are being made" in reason
    assert "webhooks_status --webhook 12" in reason


@pytest.mark.parametrize(
    ("found", "level", "count"),
    [
        (signs(QUIET, **WORKING), Level.LATE, 1),
        (signs(LATE_DELIVERY, **GONE), Level.STANDING_STILL, 2),
    ],
)
def test_schedules_that_do_not_run_are_told_too(found, level, count):
    verdict = judge(found, max_lag=120.0, chains=True, overdue=["tms_webhooks expiry", "tms_webhooks prune"])

    assert (verdict.level, len(verdict.reasons)) == (level, count)
    assert "regularly: tms_webhooks expiry, tms_webhooks prune." in verdict.reasons[-1]
