"""No request is made while a transaction is open."""

from __future__ import annotations

import time

import pytest
from django.db import connection, connections

from tests.integration.delivery.rows import subscribed
from tests.integration.delivery.wire import Wire, answer
from tests.threads import close_connections

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_slow_request_is_not_inside_a_transaction_of_the_drain(run):
    subscribed(happened=3)
    drains_own, always = connections["default"], []

    def slow(request):
        samples = []
        for _ in range(50):
            samples.append(drains_own.in_atomic_block)
            time.sleep(0.004)
        always.append(all(samples))
        return answer()

    run(wire=Wire(otherwise=slow))

    assert always == [False] * 3


@pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL tells since when transactions are open")
def test_no_transaction_of_the_server_lasts_as_long_as_a_request(run):
    subscribed(happened=3)
    others = []

    def slow(request):
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp()")
            (began,) = cursor.fetchone()
            time.sleep(0.3)
            cursor.execute(
                "SELECT pid, state, query FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start < %s"
                " AND backend_type = 'client backend'",
                [began],
            )
            others.extend(cursor.fetchall())
        # This thread's own; the drain's is another.
        close_connections()
        return answer()

    wire = Wire(otherwise=slow)
    run(wire=wire)

    assert len(wire.requests) == 3
    assert others == []
