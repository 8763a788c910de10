"""A subscription for first occurrences gets one event of each type and object: the first that matches."""

import pytest
from django.utils import timezone

from example_project.training.factories import ClassEnrollmentFactory
from tests.factories import WebhookFactory
from tests.integration.audience.world import missed_by, told_to
from tms_webhooks.choices import JobKind
from tms_webhooks.delivery import replay
from tms_webhooks.manage.jobs import count as count_job
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.models import Delivery, Event, FirstOccurrence, Subscription
from tms_webhooks.outbox.fanout import fan_out

FIRST = {"first_occurrence": True}


@pytest.fixture
def enrollment():
    return ClassEnrollmentFactory()


@pytest.fixture
def webhook(enrollment):
    return WebhookFactory(organization=enrollment.training_class.organization)


def first_only(webhook, event_type="enrollment.*", **values):
    return Subscription.objects.create(webhook=webhook, event_type=event_type, **{"filters": FIRST, **values})


def waver(enrollment):
    """Cancel and enroll, and the same again."""
    for _time in range(2):
        enrollment.cancel()
        enrollment.enroll()


@pytest.mark.parametrize("at_once", [True, False])
def test_each_type_comes_once_for_an_object(enrollment, webhook, at_once):
    first_only(webhook)

    for _time in range(2):
        waver(enrollment)
        if not at_once:
            fan_out(timezone.now())
    fan_out(timezone.now())

    assert told_to(webhook) == ["enrollment.cancelled", "enrollment.enrolled"]
    assert Event.objects.count() == 8


def test_the_first_is_the_first_that_meets_the_other_filters(enrollment, webhook):
    first_only(webhook, "enrollment.cancelled", condition={"data.late_cancel": True})

    enrollment.cancel()
    enrollment.enroll()
    enrollment.cancel(late=True)
    enrollment.enroll()
    enrollment.cancel(late=True)
    fan_out(timezone.now())

    delivery = webhook.deliveries.get()
    cancelled = list(Event.objects.filter(type="enrollment.cancelled").order_by("pk"))
    assert delivery.event == cancelled[1]


def test_each_subscription_counts_for_itself(enrollment, webhook):
    first_only(webhook, "enrollment.cancelled")
    waver(enrollment)
    fan_out(timezone.now())
    late = WebhookFactory(organization=webhook.organization)
    first_only(late, "enrollment.cancelled")

    waver(enrollment)
    fan_out(timezone.now())

    assert (len(told_to(webhook)), len(told_to(late))) == (1, 1)


def test_a_subscription_that_goes_takes_its_count_with_it(enrollment, webhook):
    subscription = first_only(webhook)
    waver(enrollment)
    fan_out(timezone.now())
    assert FirstOccurrence.objects.count() == 2

    subscription.delete()

    assert not FirstOccurrence.objects.exists()


def test_a_replay_sends_no_second_first_and_a_preview_changes_nothing(enrollment, webhook, clock):
    first_only(webhook)
    waver(enrollment)
    fan_out(clock.now)
    Delivery.objects.all().delete()
    FirstOccurrence.objects.all().delete()
    assert len(missed_by(webhook)) == 4

    arguments = {"now": timezone.now(), "since": webhook.created_at}
    assert count_job(JobKind.REPLAY_MISSED, webhook, **arguments) == 2
    assert not FirstOccurrence.objects.exists()
    job = start_job(JobKind.REPLAY_MISSED, webhook, **arguments)
    while replay.work_on(job, now=timezone.now()):
        job.refresh_from_db()

    assert told_to(webhook) == ["enrollment.cancelled", "enrollment.enrolled"]
