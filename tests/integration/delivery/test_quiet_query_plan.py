"""A fan-out with a quiet period finds the deliveries of its objects by an index, however many others wait."""

from __future__ import annotations

import pytest

from tests.integration.delivery.rows import fan_out_all, subscribed
from tests.integration.delivery.updates import ChangingObject
from tests.integration.test_query_plans import DELIVERIES, analyze, begin_with_fresh_tables, explained, plans
from tms_webhooks.models import Delivery, Event
from tms_webhooks.outbox.fanout import fan_out

USERS = 2_000
BATCH = 10


@plans
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
