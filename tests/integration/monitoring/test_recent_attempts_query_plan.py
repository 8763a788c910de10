"""The newest attempts are read by keys and indexes, however many attempts and deliveries other webhooks have."""

from __future__ import annotations

import pytest
from django.db import connection

from tests.integration.test_query_plans import DELIVERIES, analyze, explained, history, moment, plans
from tms_webhooks.models import Delivery, DeliveryAttempt
from tms_webhooks.monitoring import recent_attempts
from tms_webhooks.monitoring.recent_attempts import RecentAttempts

pytestmark = plans

__all__ = ["history", "moment"]

ATTEMPTS = DeliveryAttempt._meta.db_table


@pytest.mark.parametrize("is_analyzed", [True, False])
@pytest.mark.parametrize("chosen", ["webhook", "organization", ""])
def test_the_newest_attempts_are_read_without_a_scan(history, moment, monkeypatch, chosen, is_analyzed):
    monkeypatch.setattr(recent_attempts, "BATCH", 20)
    monkeypatch.setattr(recent_attempts, "MOST_READ", 40)
    deliveries = Delivery.objects.filter(attempts=1).order_by("pk").values_list("pk", flat=True)
    DeliveryAttempt.objects.bulk_create(
        [DeliveryAttempt(delivery_id=pk, number=1, started_at=moment, duration_ms=1) for pk in deliveries]
    )
    # PostgreSQL takes a table without statistics for a small one, and scans it.
    if is_analyzed or connection.vendor == "postgresql":
        analyze()
    keys = {"webhook": history[5].pk, "organization": history[5].organization_id}
    attempts = RecentAttempts(**{name: key for name, key in keys.items() if name == chosen})

    with explained() as statements:
        assert len(attempts.latest(10)) == 10

    scans = statements.whole_scans(DELIVERIES) + statements.whole_scans(ATTEMPTS)
    # SQLite calls a walk from the end of the primary key a scan.
    assert [scan for scan in scans if " DESC LIMIT " not in scan or "TEMP B-TREE" in scan] == []
