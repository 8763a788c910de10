"""What the worker asks most often is answered by the indexes that were made for it, however much is finished."""

import re
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from tests.conftest import Clock
from tests.integration.delivery.rows import new_event, subscribed, write_events
from tests.integration.delivery.wire import Wire, answer
from tests.integration.delivery.worker import Worker
from tms_webhooks.models import Delivery, Event, Webhook, WebhookState
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.worker.leases import next_due_at

DELIVERIES = Delivery._meta.db_table
EVENTS = Event._meta.db_table
WEBHOOKS = 12
FINISHED = 400
"""Of each webhook."""
OPEN = 12
"""Of each webhook."""

plans = pytest.mark.skipif(
    connection.vendor == "mysql", reason="MariaDB has no partial indexes, and decides by other rules"
)


@pytest.fixture(scope="module")
def moment():
    """The time at which the history ends."""
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def clock(moment):
    return Clock(moment)


@pytest.fixture(scope="module")
def history(module_db, moment):
    """Some thousands of deliveries that are finished, and a few that are due or due later."""
    begin_with_fresh_tables()
    webhooks = [subscribed(max_in_flight=2) for _ in range(WEBHOOKS)]
    states = [
        *[{"status": "delivered", "due_at": None, "attempts": 1, "charged": 1, "finished_at": moment}] * FINISHED,
        *[{"status": "pending", "due_at": moment}] * (OPEN - 2),
        {"status": "waiting", "due_at": moment + timedelta(hours=1), "attempts": 1, "charged": 1},
        {"status": "pending", "due_at": moment + timedelta(seconds=20)},
    ]
    pairs = [(webhook, state) for state in states for webhook in webhooks]
    events = [new_event(webhook.organization, body="{}") for webhook, _ in pairs]
    for event in events:
        event.fanned_out_at = moment
    # Not bulk_create alone: MariaDB and SQLite give no keys back, PostgreSQL does.
    Event.objects.bulk_create(events, batch_size=500)
    keys = list(Event.objects.order_by("pk").values_list("pk", flat=True))
    Delivery.objects.bulk_create(
        [
            Delivery(event_id=key, webhook=webhook, created_at=moment, **state)
            for key, (webhook, state) in zip(keys, pairs, strict=True)
        ],
        batch_size=500,
    )
    analyze()
    return webhooks


@pytest.fixture
def alice(clock):
    return Worker("alice", clock=clock, wire=Wire())


def begin_with_fresh_tables():
    """Leave behind what other tests wrote and rolled back: PostgreSQL counts those pages when it plans."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(f"TRUNCATE {DELIVERIES}, {EVENTS} CASCADE")


def analyze():
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


class Explained:
    """Explains each statement just before it is run, on the data as it is then."""

    def __init__(self):
        self.plans = []

    def __call__(self, execute, sql, params, many, context):
        if sql.lstrip().upper().startswith(("SELECT", "UPDATE", "INSERT", "DELETE", "WITH")):
            explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
            with connection.connection.cursor() if connection.vendor == "postgresql" else _sqlite_cursor() as cursor:
                cursor.execute(f"{explain} {_for_driver(sql)}", params)
                self.plans.append((sql, "\n".join(str(row[-1]) for row in cursor.fetchall())))
        return execute(sql, params, many, context)

    def of(self, table):
        """Return the statements that name the table."""
        return [(sql, plan) for sql, plan in self.plans if table in sql]

    def whole_scans(self, table):
        """Return the plans that read all of a table."""
        quoted = re.compile(rf"Seq Scan on {table}\b|SCAN (?:{table}|[deo])\b(?! USING)")
        aliased = re.compile(rf"Seq Scan on {table}\b")
        pattern = aliased if connection.vendor == "postgresql" else quoted
        return [f"{sql}\n{plan}" for sql, plan in self.of(table) if pattern.search(plan)]

    def uses(self, index):
        return any(index in plan for _sql, plan in self.plans)


@contextmanager
def _sqlite_cursor():
    cursor = connection.connection.cursor()
    try:
        yield cursor
    finally:
        cursor.close()


def _for_driver(sql):
    """Return the statement as the driver wants it, as Django's own cursor makes it."""
    if connection.vendor != "sqlite":
        return sql
    return re.sub(r"%\((\w+)\)s", r":\1", sql).replace("%s", "?").replace("%%", "%")


@contextmanager
def explained():
    statements = Explained()
    with connection.execute_wrapper(statements):
        yield statements
    assert statements.plans


@plans
def test_a_claim_reads_by_its_indexes_alone(history, alice):
    with explained() as statements:
        requests = alice.claim()

    assert len(requests) == 2 * WEBHOOKS
    assert statements.whole_scans(DELIVERIES) == []
    for index in ("tms_delivery_claim", "tms_delivery_due"):
        assert statements.uses(index), index


@plans
@pytest.mark.parametrize("waits", [2, 200])
def test_the_retry_of_a_paused_webhook_is_found_without_its_backlog(history, alice, clock, waits):
    down = history[0]
    WebhookState.objects.filter(pk=down.pk).update(paused_until=clock.now + timedelta(hours=1), failures=5)
    finished = down.deliveries.filter(status="delivered").values_list("pk", flat=True)[:FINISHED]
    later, new = finished[:waits], finished[waits:]
    Delivery.objects.filter(pk__in=list(later)).update(
        status="waiting", due_at=clock.now + timedelta(hours=1), finished_at=None
    )
    Delivery.objects.filter(pk__in=list(new)).update(
        status="pending", due_at=clock.now - timedelta(hours=1), attempts=0, charged=0, finished_at=None
    )
    Delivery.objects.filter(pk=later[0]).update(due_at=clock.now)
    analyze()

    with explained() as statements:
        requests = [one for one in alice.claim() if one.webhook_id == down.pk]

    assert [one.number for one in requests] == [2]
    scans = statements.whole_scans(DELIVERIES)
    if connection.vendor == "postgresql":
        # In a table of some thousand rows it may look for the webhooks with work by a scan.
        scans = [scan for scan in scans if "d.status = 'waiting' AND d.priority <> 0" in scan]
    assert scans == []
    ((_sql, plan),) = [
        (sql, plan) for sql, plan in statements.plans if "d.status = 'waiting' AND d.priority <> 0" in sql
    ]
    assert "tms_delivery_retries" in plan
    assert "tms_delivery_due" not in plan


@plans
def test_a_claim_with_nothing_due_is_one_look_into_an_index(history, alice, clock):
    Delivery.objects.filter(status="pending").update(due_at=clock.now + timedelta(hours=1))
    analyze()

    with explained() as statements:
        assert alice.claim() == []

    ((_sql, plan),) = statements.plans
    assert "tms_delivery_due" in plan


@plans
def test_the_next_that_is_due_is_the_first_of_an_index(history, clock):
    with explained() as statements:
        assert next_due_at(token="alice", now=clock.now)[0] == clock.now + timedelta(seconds=20)

    ((_sql, plan),) = statements.plans
    assert "tms_delivery_due" in plan


@plans
def test_an_ordered_webhook_looks_for_earlier_ones_in_an_index(history, alice):
    Webhook.objects.update(ordered=True, max_in_flight=None)
    Delivery.objects.filter(due_at__isnull=False).update(order_key=7)
    analyze()

    with explained() as statements:
        assert len(alice.claim()) == WEBHOOKS

    assert statements.whole_scans(DELIVERIES) == []
    assert statements.uses("tms_delivery_earlier_of_object")


@plans
@pytest.mark.parametrize("said", [answer(200), answer(500)], ids=["200", "500"])
def test_writing_results_down_reads_by_keys_and_indexes(history, alice, said):
    alice.wire.otherwise = said
    results = [alice.send(request) for request in alice.claim()]

    with explained() as statements:
        alice.write(*results)

    assert statements.of(DELIVERIES)
    assert statements.whole_scans(DELIVERIES) == []


@plans
def test_renewing_leases_and_giving_webhooks_back_read_no_deliveries(history, alice):
    alice.claim(limit=0)

    with explained() as statements:
        alice.renew()
        alice.rest()

    assert alice.leases.held == set()
    assert statements.of(DELIVERIES) == []


@plans
def test_fanning_out_finds_new_events_by_their_index(history, clock):
    write_events(history[0].organization, 3, body="{}")

    with explained() as statements:
        assert fan_out(clock.now) == 3

    assert statements.whole_scans(EVENTS) == []
    assert statements.uses("tms_event_to_fan_out")


@plans
def test_fanning_out_nothing_is_one_look_into_an_index(history, clock):
    with explained() as statements:
        assert fan_out(clock.now) == 0

    ((_sql, plan),) = statements.plans
    assert "tms_event_to_fan_out" in plan


def test_the_indexes_are_there_on_every_database():
    with connection.cursor() as cursor:
        found = {
            name
            for model in (Delivery, Event)
            for name, constraint in connection.introspection.get_constraints(cursor, model._meta.db_table).items()
            if constraint["index"] or constraint["unique"]
        }

    assert found >= {index.name for model in (Delivery, Event) for index in model._meta.indexes}
    assert found >= {
        "tms_delivery_claim",
        "tms_delivery_due",
        "tms_delivery_retries",
        "tms_event_to_fan_out",
        "tms_delivery_once_per_webhook",
    }
