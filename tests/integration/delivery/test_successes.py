"""Plain successes are written in one step; the other results of a batch are not written there."""

from collections import Counter

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.integration.delivery.rows import distinct, stored, write
from tests.integration.delivery.wire import answer
from tms_webhooks.models import Delivery, DeliveryAttempt
from tms_webhooks.worker.results import record, write_successes


def write_results(alice, *results):
    return write_successes(results, token=alice.token, now=alice.clock.now)


def test_deliveries_attempts_and_the_webhook_are_written(alice, backlog, clock):
    webhook = backlog(2)
    results = [alice.send(request) for request in alice.claim()]
    clock.advance(seconds=1)

    assert list(write_results(alice, *results)) == results

    rows = Delivery.objects.values_list("status", "due_at", "attempts", "charged", "finished_at", "error_class")
    assert set(rows) == {("delivered", None, 1, 1, clock.now, "")}
    log = DeliveryAttempt.objects.values_list("number", "status_code", "charged", "next_delay")
    assert list(log) == [(1, 200, True, None)] * 2
    assert stored(webhook, "state__succeeded_at") == clock.now


def test_it_takes_one_statement_on_postgresql_and_no_reading_anywhere(alice, backlog):
    for _ in range(3):
        backlog(2)
    results = [alice.send(request) for request in alice.claim()]

    with CaptureQueriesContext(connection) as queries:
        write_results(alice, *results)

    statements = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
    assert len(statements) == (1 if connection.vendor == "postgresql" else 4)
    assert not [sql for sql in statements if sql.lstrip().startswith("SELECT")]


def test_a_failure_takes_two_reads_and_a_write_of_each_table(alice, backlog):
    backlog(2)
    alice.wire.otherwise = answer(500)
    results = [alice.send(request) for request in alice.claim()]

    with CaptureQueriesContext(connection) as queries:
        record(results, token=alice.token, now=alice.clock.now, random=lambda: 0.5)

    verbs = Counter(query["sql"].split()[0] for query in queries if "SAVEPOINT" not in query["sql"])
    locks = 2 if connection.features.has_select_for_update else 0
    assert verbs == {"SELECT": 2 + locks, "UPDATE": 2, "INSERT": 2}


def test_a_webhook_with_a_failure_among_them_is_left_to_be_judged(alice, backlog):
    backlog(2, "/good")
    backlog(2, "/bad")
    alice.wire.otherwise = lambda request: answer(500 if "/bad" in request.url else 200)
    results = [alice.send(request) for request in alice.claim()]

    written = write_results(alice, *results)

    assert {result.status for result in written} == {200}
    assert sorted(Delivery.objects.values_list("status", flat=True)) == ["delivered"] * 2 + ["pending"] * 2


@pytest.mark.parametrize(
    "change",
    [
        lambda webhook: write(webhook, failures=1),
        lambda webhook: write(webhook, lease="bob"),
        # Lost, tried by another worker, and claimed again.
        lambda webhook: webhook.deliveries.update(attempts=1, charged=1),
    ],
    ids=["has failed", "lost", "claimed again"],
)
def test_nothing_is_written_where_one_webhook_is_not_as_it_was(alice, backlog, change):
    webhooks = [backlog(1), backlog(1)]
    results = [alice.send(request) for request in alice.claim()]
    change(webhooks[1])

    assert write_results(alice, *results) == ()

    assert distinct(Delivery, "status") == {"pending"}
    assert not DeliveryAttempt.objects.exists()
