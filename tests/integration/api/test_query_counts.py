"""No list asks more questions for more rows."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tests.factories import WebhookFactory
from tests.integration.delivery.rows import write_delivery
from tms_webhooks.choices import JobKind
from tms_webhooks.models import Job


def fill(organization, count: int) -> None:
    now = timezone.now()
    for _ in range(count):
        webhook = WebhookFactory(organization=organization, headers="X-Key=1", events=["class.*", "user.*"])
        delivery = write_delivery(webhook, now=now)
        delivery.attempt_log.create(number=1, started_at=now, duration_ms=5)
        Job.objects.create(kind=JobKind.CANCEL_PENDING, webhook=webhook, created_at=now)


@pytest.mark.parametrize("address", ["webhooks", "deliveries", "jobs", "event-types"])
def test_the_number_of_queries_does_not_grow_with_the_page(client, acme, address):
    def ask() -> tuple[int, int]:
        with CaptureQueriesContext(connection) as queries:
            rows = client.get(f"/api/{address}/?page_size=100" if address != "event-types" else f"/api/{address}/")
        return len(rows.json()["results"]), len(queries)

    fill(acme, 2)
    ask()
    few, questions = ask()
    fill(acme, 10)

    many, more_questions = ask()

    assert more_questions == questions
    assert many == (12 if address != "event-types" else few)
