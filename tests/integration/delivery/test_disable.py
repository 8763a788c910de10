"""When a webhook is disabled: not by a count alone, not by time alone."""

from datetime import timedelta

import pytest

from tests import sweeps
from tests.integration.delivery.rows import disable, distinct, stored, subscribed, write
from tms_webhooks.delivery.health import percent_to_disabling
from tms_webhooks.models import WebhookState

DAY = timedelta(days=1)


@pytest.fixture
def ailing(clock, due):
    """Make a webhook that has failed so often since so long, with deliveries that are due."""

    def ailing(*, failures, days, **fields):
        webhook = subscribed(**fields)
        write(webhook, failures=failures, failing_since=clock.now - days * DAY)
        due(webhook, 5)
        return webhook

    return ailing


def state_of(webhook):
    webhook.refresh_from_db()
    return webhook.enabled, webhook.disabled_reason


@pytest.mark.parametrize(
    "failures, days, enabled",
    [(14, 5, False), (13, 5, True), (14, 4.99, True), (500, 4.99, True), (1, 365, True), (500, 365, False)],
)
def test_a_webhook_is_disabled_by_fifteen_failures_and_five_days_together(
    ailing, wire, alice, clock, heard, caplog, failures, days, enabled
):
    webhook = ailing(failures=failures, days=days)
    wire.otherwise = 500

    alice.work(limit=1)

    assert state_of(webhook) == (enabled, "" if enabled else "failing")
    assert ("disabled" in [name for name, _ in heard]) is not enabled
    assert (f"disabled webhook={webhook.pk} reason=failing" in caplog.text) is not enabled
    assert webhook.disabled_at == (None if enabled else clock.now)


def test_the_settings_say_how_often_and_how_long(settings_of_app, ailing, wire, alice):
    settings_of_app(DISABLE_AFTER_FAILURES=3, DISABLE_AFTER_DAYS=0)
    webhook = ailing(failures=2, days=0)
    wire.otherwise = 500

    alice.work(limit=1)

    assert state_of(webhook) == (False, "failing")


def test_the_word_of_a_receiver_counts_for_more_than_its_failures(ailing, wire, alice):
    webhook = ailing(failures=14, days=6)
    wire.answers = [410]

    alice.work(limit=1)

    assert state_of(webhook) == (False, "gone")


@pytest.mark.parametrize(
    "action, schedule, enabled",
    [("log", "none", True), ("notify", "none", True), ("disable", "none", False), ("disable", "standard", True)],
)
def test_a_delivery_that_is_given_up_disables_where_the_error_action_says_so(
    wire, alice, due, action, schedule, enabled
):
    webhook = subscribed(error_action=action, schedule=schedule, max_in_flight=1)
    first, *others = due(webhook, 3)
    wire.answers = [500]

    alice.work()
    sweeps.settle(alice.clock.now)

    assert state_of(webhook) == (enabled, "" if enabled else "failing")
    assert stored(first, "status") == ("exhausted" if schedule == "none" else "waiting")
    waiting = webhook.deliveries.exclude(pk=first.pk)
    assert distinct(waiting, "status") == {"pending" if enabled else "skipped"}


def test_a_webhook_that_is_disabled_already_is_not_judged_any_further(ailing, wire, alice, clock, heard):
    webhook = ailing(failures=14, days=5)
    (request,) = alice.claim()
    disable(webhook, clock.now)
    wire.answers = [410]

    alice.write(alice.send(request))

    assert state_of(webhook) == (False, "admin")
    assert [name for name, _ in heard] == ["disabled", "exhausted"]


@pytest.mark.parametrize(
    "failures, days, percent",
    [
        (0, None, 0),
        (0, 5, 0),
        (15, 2.5, 50),
        (8, 5, 53),
        (11, 3.5, 70),
        (14, 4.5, 90),
        (15, 4.99, 99),
        (15, 5, 100),
        (99, 99, 100),
    ],
)
def test_the_percentage_is_the_lower_of_both_conditions(clock, failures, days, percent):
    state = WebhookState(failures=failures, failing_since=None if days is None else clock.now - days * DAY)

    assert percent_to_disabling(state, clock.now) == percent
