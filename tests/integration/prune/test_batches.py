"""Pruning goes in small transactions, may be cut short anywhere, goes on where it stopped and waits for nobody."""

import threading
from collections import Counter
from datetime import UTC, datetime
from itertools import count

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from tests.integration.delivery.rows import distinct, write
from tests.integration.prune.rows import DAY, NOTHING, NOW, bodies, delivery, event, mark
from tests.patience import PATIENCE
from tests.threads import Beside, several
from tms_webhooks import tasks
from tms_webhooks.choices import Priority
from tms_webhooks.models import Delivery, DeliveryAttempt, Event, KeptPayload, PruneCursor
from tms_webhooks.outbox import prune as pruning
from tms_webhooks.outbox.prune import prunable, prune, rules


@pytest.fixture(autouse=True)
def batches_of_two(monkeypatch):
    monkeypatch.setattr("tms_webhooks.outbox.prune.PRUNE_BATCH", 2)


def test_no_statement_touches_more_rows_than_the_setting_says(webhook):
    for age in (31 * DAY, 31 * DAY, 31 * DAY, 91 * DAY, 91 * DAY, 91 * DAY):
        delivery(webhook, age, attempts=2)
    for number in range(5):
        mark(f"mark:{number}", deadline=NOW - 91 * DAY)

    with CaptureQueriesContext(connection) as queries:
        pruned = prune(NOW)

    # The rules take turns, so some attempts are deleted with their events.
    assert pruned == Counter(attempts=pruned["attempts"], payloads=6, events=3, occurrences=5)
    assert (Delivery.objects.count(), DeliveryAttempt.objects.count()) == (3, 6)
    changes = [query["sql"] for query in queries if query["sql"].startswith(("UPDATE", "DELETE"))]
    changes = [sql for sql in changes if " IN " in sql]
    assert len(changes) == 3 + 3 + 2 + 2 + 2 + 3
    assert all(sql.rpartition(" IN ")[2].count(",") <= 1 for sql in changes)


@pytest.mark.django_db(transaction=True)
def test_each_batch_is_committed_on_its_own(webhook, monkeypatch):
    for _ in range(5):
        delivery(webhook, 31 * DAY)
    blank, calls = pruning._blank, count(1)

    def die_in_the_second(events):
        blanked = blank(events)
        if next(calls) == 2:
            raise SystemExit
        return blanked

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(pruning, "_blank", die_in_the_second)
        prune(NOW)
    assert sorted(bodies()) == ["", ""] + ['{"id":"evt_1"}'] * 3

    assert prune(NOW)["payloads"] == 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("last_call", range(1, 7))
def test_a_run_that_dies_anywhere_is_finished_by_the_next(webhook, monkeypatch, last_call):
    for _ in range(3):
        delivery(webhook, 91 * DAY, attempts=2)
    kept = delivery(webhook, 91 * DAY, still_open=True)
    delete, calls = pruning.delete_without_signals, count(1)

    def die(rows):
        if next(calls) == last_call:
            raise SystemExit
        return delete(rows)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(pruning, "delete_without_signals", die)
        prune(NOW)
    prune(NOW)

    assert list(Event.objects.values_list("pk", flat=True)) == [kept.event_id]
    assert list(Delivery.objects.values_list("pk", flat=True)) == [kept.pk]
    assert distinct(DeliveryAttempt, "delivery") == {kept.pk}


def test_a_second_run_finds_nothing_to_do(webhook):
    for age in (DAY, 31 * DAY, 91 * DAY):
        delivery(webhook, age, attempts=2)
    mark("once", deadline=NOW - 91 * DAY)
    prune(NOW)
    before = (bodies(), Delivery.objects.count(), DeliveryAttempt.objects.count())

    assert prune(NOW) == NOTHING
    assert (bodies(), Delivery.objects.count(), DeliveryAttempt.objects.count()) == before


def test_what_is_sent_again_while_it_is_being_pruned_stays(webhook, monkeypatch):
    again = delivery(webhook, 91 * DAY, attempts=2)
    delivery(webhook, 91 * DAY)
    delete = pruning._delete_deliveries_of

    def send_again_and_delete(events):
        Delivery.objects.filter(pk=again.pk).reopen(now=NOW, priority=Priority.LIVE)
        return delete(events)

    monkeypatch.setattr(pruning, "_delete_deliveries_of", send_again_and_delete)

    assert sum(pruning.rules(NOW)["events"]) == 1
    assert list(Event.objects.values_list("pk", flat=True)) == [again.event_id]
    assert list(Delivery.objects.values_list("pk", flat=True)) == [again.pk]
    assert DeliveryAttempt.objects.filter(delivery=again).count() == 2


@several
@pytest.mark.django_db(transaction=True)
def test_what_somebody_works_on_is_left_to_the_next_run(webhook):
    held, free = delivery(webhook, 91 * DAY), delivery(webhook, 91 * DAY)
    may_end, holds = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            Event.objects.select_for_update().get(pk=held.event_id)
            holds.set()
            assert may_end.wait(PATIENCE)

    holder = Beside(hold)
    assert holds.wait(PATIENCE)
    first = prune(NOW)
    may_end.set()
    holder.finish()

    assert (first["payloads"], first["events"]) == (1, 1)
    assert not Event.objects.filter(pk=free.event_id).exists()
    assert prune(NOW)["events"] == 1
    assert not Event.objects.exists()


def test_the_task_prunes_by_the_present_time(webhook):
    Event.objects.filter(pk=event(webhook, DAY).pk).update(occurred_at=datetime(2000, 1, 1, tzinfo=UTC))

    tasks.prune(until="whatever a later version may pass")

    assert not Event.objects.exists()


@pytest.fixture
def enqueued(monkeypatch):
    functions = []
    monkeypatch.setattr(tasks, "enqueue", lambda function, *_args: functions.append(function))
    return functions


def test_blank_payloads_are_not_read_again(webhook):
    for _ in range(5):
        delivery(webhook, 40 * DAY)
    prune(NOW)
    delivery(webhook, 31 * DAY)

    # One batch: without the cursor there would be three.
    assert list(rules(NOW)["payloads"]) == [1]
    assert list(rules(NOW)["payloads"]) == []


def test_events_of_the_same_moment_are_all_blanked(webhook):
    for _ in range(5):
        event(webhook, 40 * DAY)

    assert list(rules(NOW)["payloads"]) == [2, 2, 1]
    assert set(bodies()) == {""}


def test_a_payload_that_was_needed_is_blanked_as_soon_as_it_is_not(webhook):
    kept = [delivery(webhook, age * DAY, still_open=True) for age in (50, 40, 31)]
    waits = event(webhook, 45 * DAY, fanned_out_at=None)
    for age in (49, 39):
        delivery(webhook, age * DAY)
    assert prune(NOW)["payloads"] == 2
    assert KeptPayload.objects.count() == 4
    assert prunable(NOW) == NOTHING

    Delivery.objects.filter(pk=kept[0].pk).update(status="cancelled", due_at=None)
    write(waits, fanned_out_at=NOW)

    assert prunable(NOW) == Counter(payloads=2)
    assert prune(NOW)["payloads"] == 2
    assert distinct(KeptPayload, "pk") == {kept[1].event_id, kept[2].event_id}


def test_a_kept_payload_is_forgotten_with_its_event(webhook):
    made = delivery(webhook, 100 * DAY, still_open=True)
    prune(NOW)
    assert KeptPayload.objects.count() == 1
    write(made, status="cancelled", due_at=None)
    Event.objects.filter(pk=made.event_id).update(body="")

    prune(NOW)

    assert not Event.objects.exists()
    assert not KeptPayload.objects.exists()


def test_a_longer_retention_time_keeps_payloads_that_the_cursor_has_passed(webhook, settings_of_app):
    delivery(webhook, 40 * DAY, still_open=True)
    prune(NOW)
    Delivery.objects.update(status="cancelled", due_at=None)
    settings_of_app(KEEP_PAYLOADS_DAYS=60)

    assert prune(NOW) == NOTHING
    assert prune(NOW + 21 * DAY)["payloads"] == 1


def test_a_run_that_another_one_overtakes_leaves_the_rest_to_it(webhook):
    for _ in range(6):
        delivery(webhook, 40 * DAY)
    slow = rules(NOW)["payloads"]
    assert next(slow) == 2

    assert prune(NOW)["payloads"] == 4
    position = PruneCursor.objects.values().get()

    assert list(slow) == []
    assert PruneCursor.objects.values().get() == position


def test_each_rule_gets_its_share_of_the_time(webhook):
    for _ in range(9):
        delivery(webhook, 91 * DAY)
    for number in range(9):
        mark(f"mark:{number}", deadline=NOW - 91 * DAY)
    calls = count()

    pruned = prune(NOW, stop=lambda: next(calls) == 12)

    assert min(pruned["payloads"], pruned["attempts"], pruned["events"], pruned["occurrences"]) >= 2
    assert max(pruned["payloads"], pruned["attempts"], pruned["events"], pruned["occurrences"]) < 9


def test_a_task_that_is_out_of_time_goes_on_at_once(webhook, monkeypatch, enqueued):
    monkeypatch.setattr("tms_webhooks.db.clock.measured_now", lambda: NOW)
    for _ in range(3):
        event(webhook, 40 * DAY)
    with monkeypatch.context() as patch:
        patch.setattr(tasks, "TASK_SECONDS", 0.0)
        tasks.prune()
    assert enqueued == [tasks.PRUNE]
    assert "" not in bodies()

    tasks.prune()

    assert enqueued == [tasks.PRUNE]
    assert set(bodies()) == {""}
