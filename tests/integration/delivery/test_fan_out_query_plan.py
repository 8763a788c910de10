"""A fan-out reads a batch of the new events, and of deliveries with a quiet period those of its objects, however many others wait."""

import re

import pytest
from django.db import connection

from tests.integration.delivery.rows import fan_out_all, subscribed, write_events
from tests.integration.delivery.updates import ChangingObject
from tests.integration.test_query_plans import DELIVERIES, EVENTS, analyze, begin_with_fresh_tables, explained, plans
from tms_webhooks.models import Delivery, Event
from tms_webhooks.outbox import fanout
from tms_webhooks.outbox.fanout import fan_out

pytestmark = plans

# Servers read a small table from its beginning to its end.
USERS, EVENTS_TO_READ = (400, 800) if connection.vendor == "sqlite" else (2_000, 3_000)
BATCH = 10


@pytest.mark.parametrize("organizations", [1, 4])
def test_of_many_new_events_that_the_database_knows_nothing_of_only_a_batch_is_read(clock, monkeypatch, organizations):
    monkeypatch.setattr(fanout, "_rotation", fanout._Rotation())
    begin_with_fresh_tables()
    for _ in range(organizations):
        write_events(subscribed().organization, EVENTS_TO_READ // organizations, body="{}")
    write_events(None, EVENTS_TO_READ // 2, body="{}")

    with explained() as statements:
        assert fan_out(clock.now, limit=100) == 100

    # The organizations, and the oldest events of each.
    waiting = [
        plan for sql, plan in statements.of(EVENTS) if "RECURSIVE waiting" in sql or "organization_id IS NULL" in sql
    ]
    assert len(waiting) == 2
    assert all("tms_event_to_fan_out" in plan for plan in waiting)
    assert not any(re.search("Sort|B-TREE FOR ORDER", plan) for plan in waiting)
    numbering = [plan for sql, plan in statements.plans if "LOCKED" in sql or "newest" in sql]
    assert not any("tms_event_object_to_fan_out" in plan or "tms_event_to_fan_out" in plan for plan in numbering)


@pytest.mark.parametrize("is_analyzed", [True, False], ids=["with statistics", "without"])
def test_it_reads_the_deliveries_of_its_objects_alone(clock, is_analyzed):
    begin_with_fresh_tables()
    webhook = subscribed(events=["user.updated"])
    webhook.subscriptions.update(quiet_seconds=60)
    users = [ChangingObject(webhook.organization, str(number)) for number in range(USERS)]
    for phone in ("2", "3"):
        for user in users:
            user.values["phone"] = phone
        Event.objects.bulk_create(
            [user.new_event("user.updated", changed=["phone"], previous={"phone": "1"}) for user in users],
            batch_size=500,
        )
        fan_out_all(clock.now)
    if is_analyzed:
        analyze()
    for user in users[:BATCH]:
        user.update(phone="4")

    with explained() as statements:
        assert fan_out(clock.now) == BATCH

    assert Delivery.objects.open().count() == USERS
    (waiting,) = [plan for sql, plan in statements.of(DELIVERIES) if "order_key IN" in sql]
    assert "tms_delivery_quiet_waiting" in waiting
