"""Marks of recorded events, locks, totals of hours, notifications, answers and audit entries are forgotten, each in its time."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction

from example_project.training.factories import CourseAssignmentFactory, UserFactory
from tests.integration.delivery.rows import distinct, subscribed
from tests.integration.expiry.assignments import scan_at
from tests.integration.prune.rows import DAY, INSTANT, NOTHING, NOW, delivery, mark
from tms_webhooks.actors import SYSTEM
from tms_webhooks.choices import AttemptResult, AuditAction, TotalSpan
from tms_webhooks.models import AuditEntry, DeliveryTotal, IdempotentRequest, Notification, Occurrence, Subscription
from tms_webhooks.models.total import CountedAttempt
from tms_webhooks.outbox.prune import prunable, prune


def marks():
    return distinct(Occurrence, "key")


def test_a_mark_is_kept_until_its_date_is_as_old_as_the_events_that_go():
    mark("ahead", deadline=NOW + 300 * DAY)
    mark("just kept", deadline=NOW - 90 * DAY)
    mark("over", deadline=NOW - 90 * DAY - INSTANT)

    assert prune(NOW) == Counter(occurrences=1)
    assert marks() == {"ahead", "just kept"}


def test_a_mark_without_a_date_is_never_forgotten():
    mark("learning_path.completed:7:42", deadline=None)

    assert prune(NOW + 4000 * DAY) == NOTHING
    assert marks() == {"learning_path.completed:7:42"}


def test_a_lock_is_kept_ninety_days_after_its_last_use():
    for key, moment in (("old", NOW - 91 * DAY), ("used again", NOW - 91 * DAY), ("used again", NOW - DAY)):
        with transaction.atomic():
            Occurrence.objects.lock(key, now=moment, using="default")

    assert prune(NOW)["occurrences"] == 1
    assert marks() == {"lock:used again"}


@pytest.mark.slow
def test_the_marks_of_scans_are_forgotten_in_time_and_no_event_is_recorded_again(webhook):
    far_ahead = datetime(2100, 1, 1, tzinfo=UTC)
    Subscription.objects.create(webhook=webhook, event_type="course_assignment.*")
    scan_at(far_ahead - 60 * DAY)
    CourseAssignmentFactory(
        user=UserFactory(organization=webhook.organization), expires_at=far_ahead, created=far_ahead - 100 * DAY
    )
    assert [scan_at(far_ahead + days * DAY) for days in (-10, 1)] == [1, 1]
    assert Occurrence.objects.count() == 2

    counts = []
    for days in range(2, 95):
        prune(far_ahead + days * DAY)
        counts.append((Occurrence.objects.count(), scan_at(far_ahead + days * DAY)))

    # To the 90th day after its date, exclusive of what is older.
    assert counts == [(2, 0)] * 89 + [(0, 0)] * 4


def starts(span):
    return [NOW - moment for moment in DeliveryTotal.objects.filter(span=span).values_list("starts_at", flat=True)]


def counted(webhook, age):
    DeliveryTotal.objects.addition([CountedAttempt(webhook.pk, NOW - age, AttemptResult.DELIVERED, 5)])()


def test_hours_go_and_days_stay(webhook):
    for age in (DAY, 8 * DAY - timedelta(hours=1), 8 * DAY + timedelta(hours=1), 4_000 * DAY):
        counted(webhook, age)

    assert prune(NOW)["hours"] == 2

    assert max(starts(TotalSpan.HOUR)) < 8 * DAY
    assert len(starts(TotalSpan.HOUR)) == 2
    assert max(starts(TotalSpan.DAY)) >= 4_000 * DAY
    assert prune(NOW) == NOTHING


def test_totals_stay_when_all_that_they_were_made_of_is_gone(webhook):
    delivery(webhook, 91 * DAY, attempts=2)
    counted(webhook, 91 * DAY)

    prune(NOW)

    assert DeliveryTotal.objects.get(span=TotalSpan.DAY).delivered == 1
    assert not webhook.deliveries.exists()


def test_notifications_of_91_days_ago_go_and_younger_ones_stay():
    webhook = subscribed()
    old, young = (
        Notification.objects.create(
            webhook=webhook,
            kind="failing",
            channel="email",
            since=NOW,
            created_at=NOW - timedelta(days=days),
        )
        for days in (91, 89)
    )

    assert prunable(NOW)["notifications"] == 1
    assert prune(NOW)["notifications"] == 1

    assert list(Notification.objects.all()) == [young]
    assert prune(NOW) == NOTHING
    assert old.pk != young.pk


def test_audit_entries_go_after_two_years_those_of_deleted_webhooks_too():
    webhook = subscribed()
    _old, young = (
        AuditEntry.objects.record(AuditAction.WEBHOOK_UPDATED, webhook, actor=SYSTEM, now=NOW - age)
        for age in (730 * DAY + INSTANT, 730 * DAY)
    )
    webhook.delete()

    assert prunable(NOW)["audit"] == 1
    assert prune(NOW)["audit"] == 1

    assert list(AuditEntry.objects.all()) == [young]
    assert prune(NOW) == NOTHING


def kept(*, hours, answered=True):
    return IdempotentRequest.objects.create(
        digest=f"{hours}-{answered}",
        fingerprint="f",
        created_at=NOW - timedelta(hours=hours),
        status_code=201 if answered else None,
        answer='{"secret": "whsec_"}',
    )


def test_answers_of_a_day_ago_go_and_younger_ones_stay():
    young, _old, _abandoned = kept(hours=23), kept(hours=25), kept(hours=1, answered=False)

    assert prunable(NOW)["answers"] == 2
    assert prune(NOW)["answers"] == 2

    assert list(IdempotentRequest.objects.all()) == [young]
    assert prune(NOW) == NOTHING
