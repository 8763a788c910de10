"""Replacing the subscriptions of a webhook: which rows stay, which are changed, and which are new."""

import pytest

from tests.integration.delivery.rows import subscribed
from tms_webhooks.manage import subscriptions
from tms_webhooks.models import AuditEntry, Subscription

EXPIRING = "course_assignment.expiring"


@pytest.fixture
def webhook():
    return subscribed(events=[EXPIRING, "class.*"])


def rows(webhook):
    return {one.event_type: (one.pk, one.less_than_days) for one in webhook.subscriptions.all()}


def test_an_equal_one_stays_one_of_the_same_event_is_changed_and_another_is_added(webhook, clock):
    before = rows(webhook)
    wanted = [Subscription(event_type=name) for name in ("class.*", "user.*")]
    wanted.append(Subscription(event_type=EXPIRING, less_than_days=7))

    changes = subscriptions.replace(webhook, wanted, now=clock())

    after = rows(webhook)
    assert after["class.*"] == before["class.*"]
    assert after[EXPIRING] == (before[EXPIRING][0], 7)
    assert (len(changes.added), len(changes.changed), changes.removed) == (1, 1, [])
    assert sorted(AuditEntry.objects.values_list("action", flat=True)) == [
        "subscription.created",
        "subscription.updated",
    ]


def test_one_with_the_key_of_a_stored_one_is_that_one(webhook, clock):
    webhook.subscriptions.create(event_type=EXPIRING, less_than_days=7)
    first, second = webhook.subscriptions.filter(event_type=EXPIRING).order_by("pk")
    second.less_than_days = None

    changes = subscriptions.replace(webhook, [second], now=clock())

    assert [before.pk for before, _after in changes.changed] == [second.pk]
    assert first.public_id in [one.public_id for one in changes.removed]
    assert list(webhook.subscriptions.values_list("pk", "less_than_days")) == [(second.pk, None)]


def test_the_same_ones_leave_no_entry(webhook, clock):
    changes = subscriptions.replace(webhook, list(webhook.subscriptions.all()), now=clock())

    assert not changes
    assert not AuditEntry.objects.exists()
