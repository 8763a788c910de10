"""No list takes more queries for more rows, and a webhook is saved in few queries however much is in it."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.factories import WebhookFactory
from tests.integration.delivery.rows import write_delivery
from tms_webhooks.choices import JobKind
from tms_webhooks.models import Job, Subscription


def fill(organization, count):
    now = timezone.now()
    for _ in range(count):
        webhook = WebhookFactory(organization=organization, headers="X-Key=1", events=["class.*", "user.*"])
        delivery = write_delivery(webhook, now=now)
        delivery.attempt_log.create(number=1, started_at=now, duration_ms=5)
        Job.objects.create(kind=JobKind.CANCEL_PENDING, webhook=webhook, created_at=now)


@pytest.mark.parametrize("address", ["webhooks", "deliveries", "jobs", "events", "event-types"])
def test_the_number_of_queries_does_not_grow_with_the_page(client, acme, address):
    def ask():
        with CaptureQueriesContext(connection) as queries:
            rows = client.get(f"/api/{address}/?page_size=100" if address != "event-types" else f"/api/{address}/")
        return len(rows.json()["results"]), len(queries)

    fill(acme, 2)
    ask()
    few, questions = ask()
    fill(acme, 10)
    # The feed publishes what is new.
    ask()

    many, more_questions = ask()

    assert more_questions == questions
    assert many == (12 if address != "event-types" else few)


def test_many_subscriptions_with_many_ids_take_few_queries(create):
    create(subscriptions=[{"event_type": "class.cancelled"}])
    many = [
        {"event_type": "class.cancelled", "filters": {"course": list(range(1_000 * number, 1_000 * number + 200))}}
        for number in range(180)
    ]
    with CaptureQueriesContext(connection) as queries:
        response = create(subscriptions=many)

    assert response.status_code == 201
    assert Subscription.objects.count() == 181
    assert len(queries) <= 40
    assert response.json()["warnings"] == [
        "The filter course has ids that no object of the organization has: 0, 1, 2, 3, 4. Check them."
    ]
