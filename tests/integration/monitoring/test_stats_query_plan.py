"""What people look at every minute must not read the history: each statement is served by an index."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.conftest import Clock
from tests.integration.delivery.rows import new_event, subscribed
from tms_webhooks.choices import AttemptResult
from tms_webhooks.models import Delivery, DeliveryAttempt, DeliveryTotal, Event, Webhook
from tms_webhooks.models.total import CountedAttempt
from tms_webhooks.monitoring.figures import needing_attention, stats
from tms_webhooks.monitoring.liveness import read_liveness

pytestmark = [
    pytest.mark.skipif(connection.vendor == "mysql", reason="ANALYZE would end the test's transaction"),
]

EXPLAIN = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN"}
READS_ALL = {"sqlite": r"SCAN {}\b(?! USING)", "postgresql": r"Seq Scan on {}\b"}
BIG = ("tms_webhooks_delivery", "tms_webhooks_deliveryattempt", "tms_webhooks_deliverytotal", "tms_webhooks_event")
HISTORY = 6000
QUIET = 10


@pytest.fixture(scope="module")
def moment():
    """The time at which the history ends."""
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def clock(moment):
    return Clock(moment)


@pytest.fixture(scope="module")
def history(module_db, moment):
    """A long history of a few webhooks, of which little is open; one of them had its last delivery long ago."""
    webhooks = [subscribed() for _ in range(3)]
    quiet = subscribed()
    events = [new_event(webhooks[0].organization, body="{}") for _ in range(HISTORY)]
    for event in events[:-5]:
        event.fanned_out_at = moment
    Event.objects.bulk_create(events)
    deliveries = []
    for number, event in enumerate(events[:-5]):
        is_open = number % 500 == 0
        deliveries.append(
            Delivery(
                event=event,
                webhook=quiet if number < QUIET else webhooks[number % 3],
                status="waiting" if is_open else "delivered",
                due_at=moment - timedelta(seconds=1) if is_open else None,
                attempts=1,
                created_at=moment,
            )
        )
    Delivery.objects.bulk_create(deliveries)
    DeliveryAttempt.objects.bulk_create(
        [
            DeliveryAttempt(delivery=delivery, number=1, started_at=moment - timedelta(seconds=number), duration_ms=5)
            for number, delivery in enumerate(deliveries)
        ]
    )
    hours = [moment - timedelta(hours=hour) for hour in range(24 * 8)]
    DeliveryTotal.objects.addition(
        CountedAttempt(webhook.pk, hour, AttemptResult.DELIVERED, 5, 5)
        for webhook in (*webhooks, quiet)
        for hour in hours
    )()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
        if connection.vendor == "postgresql":
            # So few rows are read whole at no cost; the question is whether there is another way for more of them.
            cursor.execute("SET LOCAL enable_seqscan = off")


def plans(captured):
    """Return the plan of each statement that reads one of the big tables."""
    found = {}
    for query in captured:
        if any(f'"{table}"' in query["sql"] for table in BIG):
            with connection.cursor() as cursor:
                cursor.execute(f"{EXPLAIN[connection.vendor]} {query['sql'].replace('%', '%%')}")
                found[query["sql"]] = "\n".join(str(row) for row in cursor.fetchall())
    return found


def attention(*, now):
    return needing_attention(Webhook.objects.all(), now=now, most=50)


@pytest.mark.parametrize("look", [stats, read_liveness, attention])
def test_no_statement_reads_a_whole_table(history, clock, look):
    with CaptureQueriesContext(connection) as captured:
        look(now=clock.now)

    found = plans(captured)
    assert len(found) >= (2 if look is attention else 5)
    assert look is read_liveness or any("tms_delivery_given_up" in plan for plan in found.values())
    for sql, plan in found.items():
        for table in BIG:
            assert not re.search(READS_ALL[connection.vendor].format(table), plan), f"{sql}\n{plan}"
