"""Pruning goes on where it stopped, comes back to payloads that were needed, and lets no rule wait for another."""

from __future__ import annotations

from collections import Counter
from itertools import count

import pytest

from tests.integration.delivery.rows import distinct, write
from tests.integration.prune.rows import DAY, NOTHING, NOW, bodies, delivery, event, mark
from tms_webhooks import tasks
from tms_webhooks.models import Delivery, Event, KeptPayload, PruneCursor
from tms_webhooks.outbox.prune import prunable, prune, rules


@pytest.fixture(autouse=True)
def batches_of_two(monkeypatch):
    monkeypatch.setattr("tms_webhooks.outbox.prune.PRUNE_BATCH", 2)


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
        mark(f"told:{number}", deadline=NOW - 91 * DAY)
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
