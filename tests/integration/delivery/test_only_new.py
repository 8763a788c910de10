"""While a receiver is down much is due that can't be sent: new deliveries to others are still found at once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.integration.delivery.rows import subscribed, write_events
from tests.integration.delivery.worker import LEASE
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.worker.claim import Claimer, ClaimScope
from tms_webhooks.worker.claim_queries import NEWEST_LIMIT

pytestmark = pytest.mark.django_db

MANY = 2 * NEWEST_LIMIT


@pytest.fixture
def due(clock):
    """Make so many deliveries due for a webhook, a second after those before them."""

    def due(webhook, count):
        clock.advance(seconds=1)
        write_events(webhook.organization, count)
        fan_out(clock.now)

    return due


@pytest.fixture
def new(clock):
    """Claim what is new, and return the keys of its webhooks."""

    def new(limit=64):
        claimed = Claimer("alice").claim(ClaimScope.NEW, now=clock.now, until=clock.now + LEASE, limit=limit)
        return [request.webhook_id for request in claimed.requests]

    return new


@pytest.fixture
def paused(clock):
    return subscribed(paused_until=clock.now + timedelta(hours=1), failures=4)


def test_new_deliveries_are_found_behind_all_that_wait_for_a_paused_webhook(paused, due, new):
    healthy = subscribed()
    due(paused, MANY)
    due(healthy, 1)

    assert new() == [healthy.pk]


def test_a_webhook_whose_older_deliveries_wait_gets_none_before_them(paused, due, new):
    busy, healthy = subscribed(max_in_flight=100), subscribed()
    due(busy, 1)
    due(paused, MANY)
    due(busy, 1)
    due(healthy, 1)

    assert new() == [healthy.pk]


def test_of_many_that_came_due_in_one_moment_none_is_claimed_before_the_others(paused, due, new):
    busy = subscribed(max_in_flight=100)
    due(paused, MANY)
    due(busy, NEWEST_LIMIT + 1)

    assert new() == []


def test_where_little_is_due_all_of_it_is_new(due, new):
    first, second = subscribed(max_in_flight=1), subscribed(max_in_flight=1)
    due(first, 2)
    due(second, 2)

    assert sorted(new()) == [first.pk, second.pk]


def test_what_a_worker_holds_whose_lease_ran_out_is_new_to_others_alone(due, new, clock):
    webhook = subscribed()
    due(webhook, 1)
    assert new() == [webhook.pk]

    clock.advance(seconds=LEASE.total_seconds() + 1)
    assert new() == []
    assert len(Claimer("bob").claim(ClaimScope.NEW, now=clock.now, until=clock.now + LEASE, limit=1).requests) == 1


def test_an_ordered_webhook_gets_the_first_of_each_object(paused, due, new):
    ordered = subscribed(ordered=True)
    due(paused, MANY)
    due(ordered, 2)

    assert new() == [ordered.pk]
    assert new() == []
