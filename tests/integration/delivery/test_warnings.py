"""An organization is warned before a webhook is disabled: at 50, 70 and 90 percent of the way, once each."""

from datetime import timedelta

import pytest

from tests.integration.delivery.rows import subscribed, write
from tests.threads import at_once, several
from tms_webhooks.delivery import health

DAY = timedelta(days=1)


@pytest.fixture
def ailing(clock):
    """Make a webhook that has failed so often since so long."""

    def ailing(*, failures, days, **fields):
        webhook = subscribed(**fields)
        write(webhook, failures=failures, failing_since=clock.now - days * DAY)
        webhook.refresh_from_db()
        return webhook

    return ailing


def percents(heard):
    return [facts["percent"] for name, facts in heard if name == "failing"]


def test_each_percentage_is_reported_once_however_many_failures_lie_between(ailing, wire, alice, due, heard):
    webhook = ailing(failures=0, days=10, max_in_flight=1)
    due(webhook, 30)
    wire.otherwise = 500
    failures_at = {}
    for failures in range(1, 15):
        alice.work()
        for percent in percents(heard)[len(failures_at) :]:
            failures_at[percent] = failures
        webhook.refresh_from_db()
        alice.clock.now = webhook.state.paused_until or alice.clock.now

    assert failures_at == {50: 8, 70: 11, 90: 14}
    assert percents(heard) == [50, 70, 90]
    assert {facts["webhook"].pk for _, facts in heard} == {webhook.pk}


def test_no_time_and_no_count_alone_is_a_reason_to_warn(ailing, clock, heard):
    ailing(failures=1_000, days=2.4)
    ailing(failures=7, days=300)

    health.warn_all(clock.now)

    assert heard == []


@several
@pytest.mark.django_db(transaction=True)
def test_two_concurrent_sweeps_report_once(ailing, clock, heard):
    ailing(failures=15, days=4)

    assert at_once(*[lambda: health.warn_all(clock.now)] * 4) == []

    assert percents(heard) == [70]


@pytest.mark.parametrize("state", [{"enabled": False}, {"deleted_at": "2026-11-24T00:00Z"}])
def test_a_webhook_that_gets_no_requests_is_not_reported(ailing, clock, heard, state):
    webhook = ailing(failures=15, days=4)
    write(webhook, **state)

    health.warn_all(clock.now)

    assert heard == []


def test_after_a_recovery_the_percentages_are_reported_again(ailing, wire, alice, due, clock, heard):
    webhook = ailing(failures=15, days=3)
    health.warn_all(clock.now)
    due(webhook, 1)
    alice.work()
    write(webhook, failures=15, failing_since=clock.now)
    clock.advance(days=3)

    health.warn_all(clock.now)

    assert percents(heard) == [50, 50]


def test_a_sweep_reports_the_highest_percentage_once(ailing, clock, heard, caplog):
    webhook = ailing(failures=15, days=3.6)

    for _ in range(3):
        health.warn_all(clock.advance(minutes=1))

    assert percents(heard) == [70]
    assert caplog.text.count(f"failing webhook={webhook.pk} percent=70 failures=15") == 1
