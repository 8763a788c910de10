"""A list of the few deliveries with one status does not read the many others."""

import pytest
from django.db import connection
from django.utils import timezone

from tests.integration.delivery.rows import new_event, subscribed
from tms_webhooks.models import Delivery, Event

pytestmark = [
    # ANALYZE ends a transaction.
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "mysql", reason="the others have partial indexes: test_api_query_plans.py"),
]

DELIVERED = 1500
FEW = {"pending": 3, "waiting": 2, "merged": 2}


@pytest.fixture
def organization():
    """The owner of some thousands of deliveries, with few of each other status among the oldest and the newest."""
    webhooks, now = [subscribed(), subscribed()], timezone.now()
    Event.objects.bulk_create([new_event(webhooks[0].organization, body="{}") for _ in range(DELIVERED + 10)])
    few = [status for status, number in FEW.items() for _ in range(number)]
    statuses = few[::2] + ["delivered"] * DELIVERED + few[1::2]
    open_ = {"pending": now, "waiting": now}
    Delivery.objects.bulk_create(
        Delivery(
            event_id=key,
            webhook=webhook,
            status=status,
            due_at=open_.get(status),
            quiet_period=key if status == "merged" else None,
            created_at=now,
        )
        for key, status in zip(Event.objects.order_by("pk").values_list("pk", flat=True), statuses, strict=False)
        for webhook in webhooks
    )
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE TABLE {Delivery._meta.db_table}")
        cursor.fetchall()
    return webhooks[0].organization


def rows_read():
    with connection.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(int(value) for _name, value in cursor.fetchall())


@pytest.mark.parametrize("status", FEW)
def test_a_page_reads_few_more_rows_than_it_shows(organization, status):
    rows = Delivery.objects.filter(webhook__organization=organization, status__in=[status]).by_index_of([status])
    before = rows_read()

    page = list(rows.select_related("event", "webhook").order_by("-pk")[:21])

    assert len(page) == FEW[status]
    assert rows_read() - before < 100
