"""A fan-out reads a batch of the new events, also where the database has no statistics about them."""

from __future__ import annotations

import re

import pytest

from tests.integration.delivery.rows import subscribed, write_events
from tests.integration.test_query_plans import EVENTS, begin_with_fresh_tables, explained, plans
from tms_webhooks.outbox import fanout
from tms_webhooks.outbox.fanout import fan_out


@plans
@pytest.mark.parametrize("organizations", [1, 4])
def test_of_many_new_events_that_the_database_knows_nothing_of_only_a_batch_is_read(clock, monkeypatch, organizations):
    monkeypatch.setattr(fanout, "_rotation", fanout._Rotation())
    begin_with_fresh_tables()
    for _ in range(organizations):
        write_events(subscribed().organization, 3_000 // organizations, body="{}")

    with explained() as statements:
        assert fan_out(clock.now, limit=100) == 100

    # The organizations, and the oldest events of each.
    waiting = [plan for sql, plan in statements.of(EVENTS) if "RECURSIVE waiting" in sql or "o0" in sql]
    assert len(waiting) == 2
    assert all("tms_event_to_fan_out" in plan for plan in waiting)
    assert not any(re.search("Sort|B-TREE FOR ORDER", plan) for plan in waiting)
    numbering = [plan for sql, plan in statements.plans if "LOCKED" in sql or "newest" in sql]
    assert not any("tms_event_object_to_fan_out" in plan or "tms_event_to_fan_out" in plan for plan in numbering)
