"""The health of a webhook in one word: from its state, the deliveries of the last 24 hours, and the attempts of the last hour."""

from datetime import timedelta

import pytest
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tests.integration.delivery.rows import subscribed, write, write_delivery
from tests.receiver import Answer
from tms_webhooks.actors import SYSTEM
from tms_webhooks.choices import AttemptResult, Health
from tms_webhooks.manage.tests import send_test
from tms_webhooks.models import DeliveryTotal, Webhook
from tms_webhooks.models.total import CountedAttempt
from tms_webhooks.monitoring.figures import health_by_webhook, needing_attention

DELIVERED, RETRIED, GIVEN_UP = AttemptResult.DELIVERED, AttemptResult.RETRIED, AttemptResult.GIVEN_UP


def count(webhook, *counts, at):
    attempts = [CountedAttempt(webhook.pk, at, result, 100) for result, number in counts for _ in range(number)]
    DeliveryTotal.objects.addition(attempts)()


def given_up(webhook, number, *, at):
    values = {"status": "exhausted", "due_at": None, "given_up_at": at}
    return [write_delivery(webhook, now=at, **values) for _ in range(number)]


def health(webhook, *, now):
    return health_by_webhook([webhook], now=now)[webhook.pk].word


@pytest.mark.parametrize(
    "state, counts, expected",
    [
        ({}, [(DELIVERED, 100)], Health.HEALTHY),
        # They are of the last 24 hours, and not of the last one.
        ({}, [(DELIVERED, 1), (RETRIED, 98), (GIVEN_UP, 1)], Health.HEALTHY),
        ({}, [], Health.IDLE),
        # A webhook that was paused fails until it has a success.
        ({"pauses": 1, "paused_until": timezone.now() + timedelta(days=9)}, [(DELIVERED, 100)], Health.FAILING),
        ({"pauses": 2, "paused_until": timezone.now() - timedelta(days=9)}, [(DELIVERED, 100)], Health.FAILING),
        ({"failures": 1}, [], Health.IDLE),
        ({"held_until": timezone.now() + timedelta(days=9)}, [(DELIVERED, 100)], Health.DEGRADED),
        ({"held_until": timezone.now() + timedelta(days=9)}, [], Health.DEGRADED),
        ({"held_until": timezone.now() - timedelta(days=9)}, [(DELIVERED, 100)], Health.HEALTHY),
        ({"held_until": timezone.now() + timedelta(days=9), "pauses": 1}, [], Health.FAILING),
        ({"enabled": False, "pauses": 1}, [(DELIVERED, 100)], Health.DISABLED),
    ],
)
def test_its_state_and_its_attempts_of_the_last_24_hours_make_the_health(clock, state, counts, expected):
    webhook = subscribed(**state)
    count(webhook, *counts, at=clock.now - timedelta(hours=22))
    count(webhook, (GIVEN_UP, 5), at=clock.now - timedelta(hours=25))

    assert health(webhook, now=clock.now) == expected


@pytest.mark.parametrize(
    "counts, expected",
    [([(DELIVERED, 95), (RETRIED, 5)], Health.HEALTHY), ([(DELIVERED, 94), (RETRIED, 6)], Health.DEGRADED)],
)
@pytest.mark.parametrize("minute", [0, 30, 59])
def test_under_95_percent_of_the_attempts_of_the_last_hour_make_it_degraded(clock, counts, expected, minute):
    clock.now = clock.now.replace(minute=minute, second=0, microsecond=0)
    webhook = subscribed(failed_at=clock.now)
    count(webhook, *counts, at=clock.now)
    count(webhook, (RETRIED, 1_000), at=clock.now - timedelta(hours=2))

    words = [health(webhook, now=clock.now + timedelta(minutes=minutes)) for minutes in (0, 59, 60)]

    assert words == [expected, expected, Health.HEALTHY]


def test_a_delivery_that_was_given_up_makes_it_degraded_until_it_is_delivered_and_for_24_hours_at_most(clock):
    webhook = subscribed()
    count(webhook, (DELIVERED, 999), (GIVEN_UP, 1), at=clock.now)
    delivery = given_up(webhook, 1, at=clock.now)[0]

    words = [health(webhook, now=clock.now + timedelta(hours=hours)) for hours in (0, 23, 24)]

    assert words == [Health.DEGRADED, Health.DEGRADED, Health.IDLE]
    write(delivery, status="pending", due_at=clock.now)
    assert health(webhook, now=clock.now) == Health.DEGRADED
    write(delivery, status="delivered", due_at=None)
    assert health(webhook, now=clock.now) == Health.HEALTHY


def test_the_health_of_a_page_of_webhooks_takes_four_queries_at_most(clock, django_assert_num_queries):
    webhooks = [subscribed(failed_at=clock.now) for _ in range(5)]

    with django_assert_num_queries(3):
        found = health_by_webhook(webhooks, now=clock.now)

    assert {one.word for one in found.values()} == {Health.IDLE}
    assert found.keys() == {webhook.pk for webhook in webhooks}
    silent = [subscribed(failures=1, failed_at=clock.now - timedelta(hours=2)) for _ in range(5)]
    with django_assert_num_queries(4):
        health_by_webhook(silent, now=clock.now)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("status", [200, 500])
def test_a_test_counts_for_nothing(receiver, status):
    webhook = WebhookFactory(url=receiver.url)
    receiver.answers.append(Answer(status=status))

    sent = send_test(webhook, actor=SYSTEM)

    now = sent.delivery.created_at
    assert sent.result.status == status
    webhook.refresh_from_db()
    found = health_by_webhook([webhook], now=now)[webhook.pk]
    assert (found.word, found.day.attempts, found.lost) == (Health.IDLE, 0, 0)


def test_the_most_urgent_webhooks_come_first(clock):
    organization = OrganizationFactory()
    healthy, worse, bad, slow, failing, gone, off, held, other = (
        subscribed(name=name, organization=OrganizationFactory() if name == "other" else organization, **fields)
        for name, fields in {
            "healthy": {},
            "worse": {},
            "bad": {},
            "slow": {"failed_at": clock.now},
            "failing": {"pauses": 1, "failures": 4},
            "gone": {"enabled": False, "disabled_reason": "gone"},
            "off": {"enabled": False, "disabled_reason": "admin"},
            "held": {"held_until": clock.now + timedelta(minutes=1)},
            "other": {"pauses": 1, "failures": 4},
        }.items()
    )
    count(healthy, (DELIVERED, 20), at=clock.now)
    count(held, (DELIVERED, 20), at=clock.now)
    count(slow, (DELIVERED, 90), (RETRIED, 10), at=clock.now)
    given_up(bad, 1, at=clock.now)
    given_up(worse, 3, at=clock.now - timedelta(hours=23))
    given_up(off, 9, at=clock.now)
    for delivery in given_up(healthy, 9, at=clock.now):
        write(delivery, status="delivered")

    found = needing_attention(Webhook.objects.filter(organization=organization), now=clock.now, most=50)

    assert [(webhook.name, one.word.value) for webhook, one in found] == [
        ("gone", "disabled"),
        ("failing", "failing"),
        ("worse", "degraded"),
        ("bad", "degraded"),
        ("slow", "degraded"),
        ("held", "degraded"),
    ]
    everywhere = needing_attention(Webhook.objects.all(), now=clock.now, most=50)
    assert other.pk in {webhook.pk for webhook, _one in everywhere}
    assert len(needing_attention(Webhook.objects.filter(organization=organization), now=clock.now, most=2)) == 2


def test_what_needs_attention_takes_six_queries_at_most_for_any_number_of_webhooks(clock, django_assert_num_queries):
    organization = OrganizationFactory()
    for _ in range(4):
        webhook = subscribed(organization=organization, failed_at=clock.now)
        waiting = subscribed(organization=organization, failures=1)
        write_delivery(waiting, now=clock.now, status="waiting")
        count(webhook, (RETRIED, 1), at=clock.now)

    with django_assert_num_queries(6):
        assert len(needing_attention(Webhook.objects.filter(organization=organization), now=clock.now, most=50)) == 8
