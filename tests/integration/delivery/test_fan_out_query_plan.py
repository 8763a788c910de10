"""A fan-out reads a batch of the new events, also where the database has no statistics about them."""

from __future__ import annotations

import re

import pytest

from tests.integration.delivery.rows import subscribed, write_events
from tests.integration.test_query_plans import EVENTS, begin_with_fresh_tables, explained, plans
from tms_webhooks.outbox.fanout import fan_out

pytestmark = pytest.mark.django_db


@plans
def test_of_many_new_events_that_the_database_knows_nothing_of_only_a_batch_is_read(clock):
    begin_with_fresh_tables()
    write_events(subscribed().organization, 3_000, body="{}")

    with explained() as statements:
        assert fan_out(clock.now, limit=100) == 100

    ((_sql, plan),) = [(sql, plan) for sql, plan in statements.of(EVENTS) if "NOT IN" in sql and "newest" in sql]
    assert "tms_event_to_fan_out" in plan
    assert not re.search("Sort|B-TREE FOR ORDER", plan)
    assert not any("tms_event_object_to_fan_out" in plan for sql, plan in statements.plans if "LOCKED" in sql)
