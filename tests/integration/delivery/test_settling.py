"""The backlog of a webhook that is disabled or deleted is finished in batches, after the transaction that disables it."""

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from tests import sweeps
from tests.integration.delivery.rows import disable, distinct, subscribed
from tests.threads import Beside, several
from tms_webhooks import tasks
from tms_webhooks.choices import JobKind
from tms_webhooks.delivery import lifecycle, replay, sweep
from tms_webhooks.manage import webhooks
from tms_webhooks.manage.jobs import count as count_job
from tms_webhooks.models import Delivery


@pytest.fixture
def batches_of_two(monkeypatch):
    monkeypatch.setattr(sweep, "BATCH", 2)


@pytest.fixture
def enqueued(monkeypatch):
    functions = []
    for module in (lifecycle, tasks):
        monkeypatch.setattr(module, "enqueue", lambda function, *_args: functions.append(function))
    return functions


def statuses(webhook):
    return sorted(webhook.deliveries.values_list("status", flat=True))


@pytest.mark.parametrize("verb", ["disable", "delete"])
def test_the_transaction_takes_as_many_statements_however_much_waits(clock, backlog, verb):
    def statements(webhook):
        with CaptureQueriesContext(connection) as queries:
            if verb == "disable":
                disable(webhook, clock.now)
            else:
                webhooks.delete(webhook, now=clock.now)
        assert not [one for one in queries if Delivery._meta.db_table in one["sql"]]
        return len(queries)

    assert statements(backlog(0)) == statements(backlog(9))


@pytest.mark.parametrize("verb", ["disable", "delete"])
def test_a_worker_is_asked_to_settle_after_the_commit(
    clock, backlog, enqueued, django_capture_on_commit_callbacks, verb
):
    webhook = backlog(3)
    with django_capture_on_commit_callbacks(execute=True):
        if verb == "disable":
            disable(webhook, clock.now)
        else:
            webhooks.delete(webhook, now=clock.now)
        assert enqueued == []
    assert enqueued == [replay.WORK]

    tasks.work_on_jobs()

    assert statuses(webhook) == ["skipped" if verb == "disable" else "cancelled"] * 3
    assert enqueued == [replay.WORK]


def test_a_task_that_is_out_of_time_goes_on_at_once(clock, backlog, enqueued, monkeypatch):
    webhook = backlog(3)
    disable(webhook, clock.now)
    monkeypatch.setattr(tasks, "TASK_SECONDS", 0.0)

    tasks.work_on_jobs()

    assert enqueued == [replay.WORK]
    assert statuses(webhook) == ["pending"] * 3


def test_nothing_is_sent_that_is_not_skipped_yet(clock, backlog, batches_of_two, run, wire):
    webhook = backlog(5)
    disable(webhook, clock.now)
    asked = iter([False, True])

    assert sweeps.settle(clock.now, stop=lambda: next(asked)) == 2
    run()

    assert wire.requests == []
    assert statuses(webhook) == ["pending"] * 3 + ["skipped"] * 2


def test_a_webhook_that_is_enabled_again_gets_the_rest_and_each_delivery_once(
    clock, backlog, batches_of_two, run, wire, do
):
    webhook = backlog(5)
    disable(webhook, clock.now)
    (settling,) = sweep.settling(clock.now).values()
    assert next(settling) == 2

    webhooks.enable(webhook, now=clock.now)

    assert list(settling) == []
    run()
    assert statuses(webhook) == ["delivered"] * 3 + ["skipped"] * 2
    assert count_job(JobKind.REPLAY_MISSED, webhook, now=clock.now) == 2
    do(JobKind.REPLAY_MISSED, webhook)
    run()
    assert statuses(webhook) == ["delivered"] * 5
    assert len({request.headers["webhook-id"] for request in wire.requests}) == len(wire.requests) == 5


def test_a_webhook_that_the_database_refuses_to_settle_does_not_stop_the_others(clock, backlog, monkeypatch, caplog):
    webhooks = [backlog(2), backlog(2)]
    for webhook in webhooks:
        disable(webhook, clock.now)
    settle_batch = sweep._settle_batch

    def refuse_the_first(webhook_id, now):
        if webhook_id == webhooks[0].pk:
            raise OperationalError("deadlock detected")
        return settle_batch(webhook_id, now)

    with monkeypatch.context() as patch:
        patch.setattr(sweep, "_settle_batch", refuse_the_first)
        assert sweeps.settle(clock.now) == 2
    assert f"The database refused to settle webhook={webhooks[0].pk}" in caplog.text

    assert sweeps.settle(clock.now) == 2


@several
@pytest.mark.django_db(transaction=True)
def test_two_workers_settle_each_delivery_once(clock, backlog, batches_of_two):
    webhook = backlog(20)
    disable(webhook, clock.now)

    others = Beside(lambda: sweeps.settle(clock.now))
    mine = sweeps.settle(clock.now)

    assert mine + others.finish() == 20
    assert statuses(webhook) == ["skipped"] * 20


def test_failures_of_one_kind_are_one_statement(alice, wire, due):
    webhook = subscribed(max_in_flight=20)
    due(webhook, 9)
    requests = alice.claim()
    wire.answers = [500] * 6 + [404] * 3
    results = [alice.send(request) for request in requests]

    with CaptureQueriesContext(connection) as queries:
        alice.write(*results)

    table, status = map(connection.ops.quote_name, (Delivery._meta.db_table, "status"))
    failures = [one["sql"] for one in queries if one["sql"].startswith(f"UPDATE {table} SET {status} = 'waiting'")]
    assert len(failures) == 1
    rows = webhook.deliveries.order_by("pk").values_list("status", "attempts", "charged")
    assert set(rows) == {("waiting", 1, 1)}
    # Each has its own time.
    assert all(webhook.deliveries.values_list("due_at", flat=True))


def test_a_sweep_that_has_nothing_to_do_is_one_query_for_each_part(clock, due, django_assert_num_queries):
    due(subscribed(), 5)

    for part in (sweeps.settle, sweeps.give_up_old):
        with django_assert_num_queries(1):
            assert part(clock.now) == 0

    assert distinct(Delivery, "status") == {"pending"}
