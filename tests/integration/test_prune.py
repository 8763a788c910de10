"""What is forgotten, when, and what never is."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from example_project.training.factories import CourseAssignmentFactory, UserFactory
from tests.factories import WebhookFactory
from tms_webhooks import tasks
from tms_webhooks.choices import DeliveryStatus
from tms_webhooks.expiry import scan
from tms_webhooks.models import Delivery, DeliveryAttempt, Event, EventSequence, Occurrence, Subscription, Webhook
from tms_webhooks.outbox import prune as pruning
from tms_webhooks.outbox.prune import Pruned, prune

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)
NOTHING = Pruned(payloads=0, attempts=0, events=0, occurrences=0)

_subjects = count(1)


@pytest.fixture
def webhook() -> Webhook:
    return WebhookFactory()


def event(webhook: Webhook, age: timedelta, **values: Any) -> Event:
    """Write an event of this age that has its deliveries."""
    occurred_at = NOW - age
    return Event.objects.create(**{
        "type": "class.cancelled",
        "organization": webhook.organization,
        "subject_type": "class",
        "subject_id": str(next(_subjects)),
        "sequence": 1,
        "actor_kind": "system",
        "occurred_at": occurred_at,
        "fanned_out_at": occurred_at,
        "body": '{"id":"evt_1"}',
        **values,
    })


def delivery(webhook: Webhook, age: timedelta, *, attempts: int = 1, still_open: bool = False, **values: Any) -> Delivery:
    """Write an event of this age, its delivery, and attempts at it, the last at the age of the event."""
    occurred_at = NOW - age
    status = DeliveryStatus.WAITING if still_open else DeliveryStatus.DELIVERED
    made = Delivery.objects.create(
        event=event(webhook, age, **values),
        webhook=webhook,
        status=status,
        due_at=NOW if still_open else None,
        attempts=attempts,
        created_at=occurred_at,
        finished_at=None if still_open else occurred_at,
    )
    for number in range(1, attempts + 1):
        started_at = occurred_at - (attempts - number) * timedelta(hours=1)
        DeliveryAttempt.objects.create(delivery=made, number=number, started_at=started_at, duration_ms=5)
    return made


def bodies() -> list[str]:
    return list(Event.objects.order_by("pk").values_list("body", flat=True))


# Payloads


def test_payloads_are_blanked_when_they_are_older_than_thirty_days(webhook):
    for age in (30 * DAY + INSTANT, 30 * DAY, DAY):
        delivery(webhook, age)

    assert prune(NOW) == Pruned(payloads=1, attempts=0, events=0, occurrences=0)
    assert bodies() == ["", '{"id":"evt_1"}', '{"id":"evt_1"}']
    assert (Delivery.objects.count(), DeliveryAttempt.objects.count()) == (3, 3)


def test_the_setting_says_how_long_a_payload_is_kept(webhook, settings):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "KEEP_PAYLOADS_DAYS": 7}
    delivery(webhook, 8 * DAY)
    delivery(webhook, 6 * DAY)

    assert prune(NOW).payloads == 1
    assert bodies() == ["", '{"id":"evt_1"}']


def test_a_payload_stays_as_long_as_one_of_its_deliveries_is_open(webhook):
    made = delivery(webhook, 31 * DAY, still_open=True)
    Delivery.objects.create(
        event=made.event,
        webhook=WebhookFactory(organization=webhook.organization),
        status=DeliveryStatus.DELIVERED,
        created_at=NOW,
    )
    assert prune(NOW) == NOTHING

    Delivery.objects.filter(pk=made.pk).update(status=DeliveryStatus.EXHAUSTED, due_at=None)

    assert prune(NOW).payloads == 1
    assert bodies() == [""]


@pytest.mark.parametrize("status", [DeliveryStatus.PENDING, DeliveryStatus.WAITING, DeliveryStatus.IN_FLIGHT])
def test_every_open_state_keeps_all_that_belongs_to_it(webhook, status):
    made = delivery(webhook, 400 * DAY, still_open=True)
    lease = "token" if status == DeliveryStatus.IN_FLIGHT else ""
    Delivery.objects.filter(pk=made.pk).update(status=status, lease=lease)

    assert prune(NOW) == NOTHING
    assert bodies() == ['{"id":"evt_1"}']
    assert (Delivery.objects.count(), DeliveryAttempt.objects.count()) == (1, 1)


def test_an_event_that_waits_for_its_fan_out_is_left_alone_however_old(webhook):
    event(webhook, 400 * DAY, fanned_out_at=None)

    assert prune(NOW) == NOTHING
    assert bodies() == ['{"id":"evt_1"}']


def test_an_event_that_nobody_got_is_forgotten_like_others(webhook):
    event(webhook, 31 * DAY)
    event(webhook, 91 * DAY)
    event(webhook, 91 * DAY, body="", error="no payload")

    assert prune(NOW) == Pruned(payloads=2, attempts=0, events=2, occurrences=0)
    assert bodies() == [""]


# Attempts and events


def test_attempts_and_events_are_deleted_when_they_are_older_than_ninety_days(webhook):
    old = delivery(webhook, 90 * DAY + INSTANT, attempts=3)
    kept = delivery(webhook, 90 * DAY, attempts=3)

    pruned = prune(NOW)

    # Two attempts at the younger one are over the limit, too.
    assert pruned == Pruned(payloads=2, attempts=5, events=1, occurrences=0)
    assert list(Event.objects.values_list("pk", flat=True)) == [kept.event_id]
    assert list(Delivery.objects.values_list("pk", flat=True)) == [kept.pk]
    assert list(DeliveryAttempt.objects.values_list("delivery", "number")) == [(kept.pk, 3)]
    assert not Delivery.objects.filter(event_id=old.event_id).exists()


def test_attempts_made_after_the_event_go_with_it(webhook):
    made = delivery(webhook, 91 * DAY)
    DeliveryAttempt.objects.create(delivery=made, number=2, started_at=NOW - DAY, duration_ms=5)

    prune(NOW)

    assert not DeliveryAttempt.objects.exists()


@pytest.mark.parametrize("attempts_days", [5, 30])
def test_an_event_stays_as_long_as_its_payload_has_to(webhook, settings, attempts_days):
    settings.TMS_WEBHOOKS = {
        **settings.TMS_WEBHOOKS,
        "KEEP_PAYLOADS_DAYS": 30,
        "KEEP_ATTEMPTS_DAYS": attempts_days,
    }
    delivery(webhook, 29 * DAY)
    delivery(webhook, 31 * DAY)

    pruned = prune(NOW)

    assert pruned.events == 1
    assert bodies() == ['{"id":"evt_1"}']
    assert DeliveryAttempt.objects.count() == (0 if attempts_days == 5 else 1)


def test_an_old_delivery_that_was_sent_again_keeps_its_event(webhook):
    made = delivery(webhook, 100 * DAY, attempts=2)
    finished = Delivery.objects.create(
        event=made.event,
        webhook=WebhookFactory(organization=webhook.organization),
        status=DeliveryStatus.DELIVERED,
        created_at=NOW,
    )
    Delivery.objects.filter(pk=made.pk).update(status=DeliveryStatus.PENDING, due_at=NOW)

    assert prune(NOW) == NOTHING
    assert DeliveryAttempt.objects.filter(delivery=made).count() == 2
    assert Delivery.objects.filter(pk=finished.pk).exists()


def test_the_numbers_of_events_go_on_after_them(webhook):
    old = event(webhook, 91 * DAY)
    EventSequence.objects.advance("class", old.subject_id)

    prune(NOW)

    assert not Event.objects.exists()
    assert EventSequence.objects.advance("class", old.subject_id) == 2


# What was told


def mark(key: str, *, deadline: datetime | None) -> None:
    assert Occurrence.objects.first_time(key, now=NOW - 365 * DAY, deadline=deadline)


def marks() -> set[str]:
    return set(Occurrence.objects.values_list("key", flat=True))


def test_a_mark_is_kept_until_its_date_is_as_old_as_the_events_that_go():
    mark("ahead", deadline=NOW + 300 * DAY)
    mark("just kept", deadline=NOW - 90 * DAY)
    mark("over", deadline=NOW - 90 * DAY - INSTANT)

    assert prune(NOW) == Pruned(payloads=0, attempts=0, events=0, occurrences=1)
    assert marks() == {"ahead", "just kept"}


def test_what_has_no_date_is_never_told_again():
    mark("learning_path.completed:7:42", deadline=None)

    assert prune(NOW + 4000 * DAY) == NOTHING
    assert not Occurrence.objects.first_time("learning_path.completed:7:42", now=NOW)


def test_a_lock_is_kept_ninety_days_after_its_last_use():
    for key, moment in (("old", NOW - 91 * DAY), ("used again", NOW - 91 * DAY), ("used again", NOW - DAY)):
        with transaction.atomic():
            Occurrence.objects.lock(key, now=moment)

    assert prune(NOW).occurrences == 1
    assert marks() == {"lock:used again"}


def test_scans_mark_what_they_tell_so_that_it_is_forgotten_in_time_and_not_told_again(webhook):
    far_ahead = datetime(2100, 1, 1, tzinfo=UTC)
    Subscription.objects.create(webhook=webhook, event_type="course_assignment.*")
    scan.scan_all(now=far_ahead - 60 * DAY)
    CourseAssignmentFactory(
        user=UserFactory(organization=webhook.organization), expires_at=far_ahead, created=far_ahead - 100 * DAY
    )
    assert [scan.scan_all(now=far_ahead + days * DAY).events for days in (-10, 1)] == [1, 1]
    assert Occurrence.objects.count() == 2

    counts = []
    for days in range(2, 95):
        prune(far_ahead + days * DAY)
        counts.append((Occurrence.objects.count(), scan.scan_all(now=far_ahead + days * DAY).events))

    # To the 90th day after its date, exclusive of what is older.
    assert counts == [(2, 0)] * 89 + [(0, 0)] * 4


# Batches


@pytest.fixture
def batches_of_two(settings) -> None:
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "PRUNE_BATCH": 2}


def test_no_statement_touches_more_rows_than_the_setting_says(webhook, batches_of_two):
    for age in (31 * DAY, 31 * DAY, 31 * DAY, 91 * DAY, 91 * DAY, 91 * DAY):
        delivery(webhook, age, attempts=2)
    for number in range(5):
        mark(f"told:{number}", deadline=NOW - 91 * DAY)

    with CaptureQueriesContext(connection) as queries:
        pruned = prune(NOW)

    assert pruned == Pruned(payloads=6, attempts=6, events=3, occurrences=5)
    assert (Delivery.objects.count(), DeliveryAttempt.objects.count()) == (3, 6)
    changes = [query["sql"] for query in queries if query["sql"].startswith(("UPDATE", "DELETE"))]
    assert len(changes) == 3 + 3 + 2 + 2 + 3
    assert all(sql.rpartition(" IN ")[2].count(",") <= 1 for sql in changes)


@pytest.mark.django_db(transaction=True)
def test_each_batch_is_committed_on_its_own(webhook, batches_of_two, monkeypatch):
    for _ in range(5):
        delivery(webhook, 31 * DAY)
    take, calls = pruning._take, count(1)

    def die_at_the_third(rows):
        if next(calls) == 3:
            raise SystemExit
        return take(rows)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(pruning, "_take", die_at_the_third)
        prune(NOW)
    assert sorted(bodies()) == ["", "", "", ""] + ['{"id":"evt_1"}']

    assert prune(NOW).payloads == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("last_call", range(1, 9))
def test_a_run_that_dies_anywhere_is_finished_by_the_next(webhook, batches_of_two, monkeypatch, last_call):
    for _ in range(3):
        delivery(webhook, 91 * DAY, attempts=2)
    kept = delivery(webhook, 91 * DAY, still_open=True)
    delete, calls = pruning._delete, count(1)

    def die(rows):
        if next(calls) == last_call:
            raise SystemExit
        return delete(rows)

    with monkeypatch.context() as patch:
        patch.setattr(pruning, "_delete", die)
        try:
            prune(NOW)
        except SystemExit:
            pass
    prune(NOW)

    assert list(Event.objects.values_list("pk", flat=True)) == [kept.event_id]
    assert list(Delivery.objects.values_list("pk", flat=True)) == [kept.pk]
    assert set(DeliveryAttempt.objects.values_list("delivery", flat=True)) == {kept.pk}


def test_a_second_run_finds_nothing_to_do(webhook):
    for age in (DAY, 31 * DAY, 91 * DAY):
        delivery(webhook, age, attempts=2)
    mark("told", deadline=NOW - 91 * DAY)
    prune(NOW)
    before = (bodies(), Delivery.objects.count(), DeliveryAttempt.objects.count())

    assert prune(NOW) == NOTHING
    assert (bodies(), Delivery.objects.count(), DeliveryAttempt.objects.count()) == before


def test_an_empty_database_is_pruned_in_peace():
    assert prune(NOW) == NOTHING


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite has one writer at a time")
def test_what_somebody_works_on_is_left_to_the_next_run(webhook):
    held, free = delivery(webhook, 91 * DAY), delivery(webhook, 91 * DAY)
    may_end, holds = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                Event.objects.select_for_update().get(pk=held.event_id)
                holds.set()
                assert may_end.wait(10)
        finally:
            connection.close()

    holder = threading.Thread(target=hold, daemon=True)
    holder.start()
    assert holds.wait(10)
    first = prune(NOW)
    may_end.set()
    holder.join(10)

    assert (first.payloads, first.events) == (1, 1)
    assert not Event.objects.filter(pk=free.event_id).exists()
    assert prune(NOW).events == 1
    assert not Event.objects.exists()


def test_the_task_prunes_by_the_present_time(webhook):
    Event.objects.filter(pk=event(webhook, DAY).pk).update(occurred_at=datetime(2000, 1, 1, tzinfo=UTC))

    tasks.prune(until="whatever a later version may pass")

    assert not Event.objects.exists()
