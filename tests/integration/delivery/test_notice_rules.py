"""When a webhook is due a notice: one rule over its state and the times."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.factories import WebhookFactory
from tms_webhooks.choices import DISABLED_BY_USER, DisabledReason, NoticeKind
from tms_webhooks.delivery.notices import due_states

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def ago(**delta):
    return NOW - timedelta(**delta)


@pytest.fixture(autouse=True)
def _nine_minutes(settings_of_app):
    settings_of_app(NOTIFY_AFTER_SECONDS=540)


def due(**values):
    """Return the notice that a webhook with these values is due."""
    webhook = WebhookFactory(**values)
    kinds = [
        kind for states in due_states(NOW) for kind in states.filter(pk=webhook.pk).values_list("notice", flat=True)
    ]
    return NoticeKind(*kinds) if kinds else None


@pytest.mark.parametrize(
    "known, delta, expected",
    [
        ("", {"minutes": 8, "seconds": 59}, None),
        ("", {"minutes": 9}, "failing"),
        ("given_up", {"minutes": 9}, "failing"),
        ("disabled", {"minutes": 9}, "failing"),
        ("failing", {"hours": 23, "minutes": 59}, None),
        ("failing", {"hours": 24}, "failing_for_a_day"),
        ("", {"hours": 24}, "failing_for_a_day"),
        ("failing_for_a_day", {"days": 4}, None),
        # It had a success and failed again before that was noticed.
        ("failing_for_a_day", {"minutes": 9}, None),
    ],
)
def test_a_failing_webhook_is_due_a_notice_after_nine_minutes_and_after_a_day(known, delta, expected):
    assert due(failing_since=ago(**delta), failed_at=ago(seconds=1), notified_of=known) == expected


@pytest.mark.parametrize("reason", [one for one in DisabledReason if one not in DISABLED_BY_USER])
@pytest.mark.parametrize("known", ["", "failing", "failing_for_a_day", "given_up"])
def test_a_webhook_that_the_system_disabled_is_due_a_notice(reason, known):
    state = {"enabled": False, "disabled_reason": reason, "disabled_at": ago(minutes=1), "notified_at": ago(hours=1)}

    assert due(**state, notified_of=known) == "disabled"
    assert due(**state | {"notified_at": NOW}, notified_of="disabled") is None


@pytest.mark.parametrize("reason", DISABLED_BY_USER)
def test_a_webhook_that_a_user_disabled_is_due_none(reason):
    state = {"failing_since": ago(days=2), "given_up_at": ago(days=1)}

    assert due(enabled=False, disabled_reason=reason, disabled_at=NOW, **state) is None


@pytest.mark.parametrize("known", ["failing", "failing_for_a_day", "disabled", "given_up"])
@pytest.mark.parametrize(
    "failed, succeeded, expected",
    [
        ({"minutes": 10}, {"minutes": 1}, "recovered"),
        ({"minutes": 10}, {"minutes": 11}, None),  # enabled by a user; nothing has succeeded since
        ({"minutes": 8}, {"minutes": 1}, None),  # too early
    ],
)
def test_it_has_recovered_with_a_success_and_nine_minutes_without_a_failure(known, failed, succeeded, expected):
    assert due(failed_at=ago(**failed), succeeded_at=ago(**succeeded), notified_of=known) == expected


def test_a_recovery_is_due_only_after_another_notice():
    assert due(failed_at=ago(minutes=10), succeeded_at=ago(minutes=1)) is None


def test_a_delivery_that_was_given_up_is_due_a_notice_unless_people_know_more():
    assert due(given_up_at=NOW, failed_at=NOW) == "given_up"
    assert due(given_up_at=NOW, failed_at=NOW, failing_since=NOW) == "given_up"
    assert due(given_up_at=NOW, failed_at=NOW, notified_of="failing") is None


@pytest.mark.parametrize("state", [{"pull_only": True, "url": ""}, {"deleted_at": NOW}])
def test_deleted_and_pull_only_webhooks_are_due_none(state):
    assert due(failing_since=ago(days=2), **state) is None
