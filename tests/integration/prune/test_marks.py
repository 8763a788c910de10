"""Marks of what was told are forgotten long after the date that they speak of, and locks long after their last use."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime

from django.db import transaction

from example_project.training.factories import CourseAssignmentFactory, UserFactory
from tests.integration.delivery.rows import distinct
from tests.integration.prune.rows import DAY, INSTANT, NOTHING, NOW, mark
from tms_webhooks.expiry import scan
from tms_webhooks.models import Occurrence, Subscription
from tms_webhooks.outbox.prune import prune


def marks():
    return distinct(Occurrence, "key")


def test_a_mark_is_kept_until_its_date_is_as_old_as_the_events_that_go():
    mark("ahead", deadline=NOW + 300 * DAY)
    mark("just kept", deadline=NOW - 90 * DAY)
    mark("over", deadline=NOW - 90 * DAY - INSTANT)

    assert prune(NOW) == Counter(occurrences=1)
    assert marks() == {"ahead", "just kept"}


def test_what_has_no_date_is_never_told_again():
    mark("learning_path.completed:7:42", deadline=None)

    assert prune(NOW + 4000 * DAY) == NOTHING
    assert marks() == {"learning_path.completed:7:42"}


def test_a_lock_is_kept_ninety_days_after_its_last_use():
    for key, moment in (("old", NOW - 91 * DAY), ("used again", NOW - 91 * DAY), ("used again", NOW - DAY)):
        with transaction.atomic():
            Occurrence.objects.lock(key, now=moment)

    assert prune(NOW)["occurrences"] == 1
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
