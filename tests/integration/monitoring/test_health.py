"""The health of a webhook in one word, from its state and the figures of the last 24 hours."""

from datetime import timedelta

import pytest
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tests.integration.delivery.rows import subscribed
from tests.receiver import Answer
from tms_webhooks.actors import SYSTEM
from tms_webhooks.choices import AttemptResult, Health
from tms_webhooks.manage.tests import send_test
from tms_webhooks.models import DeliveryTotal, Webhook
from tms_webhooks.models.total import CountedAttempt
from tms_webhooks.monitoring.figures import health_by_webhook, last_day, needing_attention

DELIVERED, RETRIED, GIVEN_UP = AttemptResult.DELIVERED, AttemptResult.RETRIED, AttemptResult.GIVEN_UP


def count(webhook, *counts, at):
    attempts = [CountedAttempt(webhook.pk, at, result, 100) for result, number in counts for _ in range(number)]
    DeliveryTotal.objects.addition(attempts)()


def health(webhook, *, now):
    return health_by_webhook([webhook], now=now)[webhook.pk].word


@pytest.mark.parametrize(
    "state, counts, expected",
    [
        ({}, [(DELIVERED, 100)], Health.HEALTHY),
        ({}, [(DELIVERED, 95), (RETRIED, 5)], Health.HEALTHY),
        ({}, [(DELIVERED, 94), (RETRIED, 6)], Health.DEGRADED),
        ({}, [(DELIVERED, 999), (GIVEN_UP, 1)], Health.DEGRADED),
        ({}, [(RETRIED, 3)], Health.DEGRADED),
        ({}, [], Health.IDLE),
        # A webhook that was paused fails until it has a success, and one whose last attempt failed long ago is degraded.
        ({"pauses": 1, "paused_until": timezone.now() + timedelta(days=9)}, [(DELIVERED, 100)], Health.FAILING),
        ({"pauses": 2, "paused_until": timezone.now() - timedelta(days=9)}, [(DELIVERED, 100)], Health.FAILING),
        ({"failures": 1}, [], Health.DEGRADED),
        ({"held_until": timezone.now() + timedelta(days=9)}, [(DELIVERED, 100)], Health.DEGRADED),
        ({"held_until": timezone.now() + timedelta(days=9)}, [], Health.DEGRADED),
        ({"held_until": timezone.now() - timedelta(days=9)}, [(DELIVERED, 100)], Health.HEALTHY),
        ({"held_until": timezone.now() + timedelta(days=9), "pauses": 1}, [], Health.FAILING),
        ({"enabled": False, "pauses": 1}, [(DELIVERED, 100)], Health.DISABLED),
    ],
)
def test_its_state_and_the_figures_of_the_last_24_hours_make_the_health(clock, state, counts, expected):
    webhook = subscribed(**state)
    count(webhook, *counts, at=clock.now - timedelta(hours=22))
    count(webhook, (GIVEN_UP, 5), at=clock.now - timedelta(hours=25))

    assert health(webhook, now=clock.now) == expected


def test_the_health_of_a_page_of_webhooks_takes_one_query(clock, django_assert_num_queries):
    webhooks = [subscribed() for _ in range(5)]

    with django_assert_num_queries(1):
        found = health_by_webhook(webhooks, now=clock.now)

    assert {one.word for one in found.values()} == {Health.IDLE}
    assert found.keys() == {webhook.pk for webhook in webhooks}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("status", [200, 500])
def test_a_test_counts_for_nothing(receiver, status):
    webhook = WebhookFactory(url=receiver.url)
    receiver.answers.append(Answer(status=status))

    sent = send_test(webhook, actor=SYSTEM)

    now = sent.delivery.created_at
    assert sent.result.status == status
    assert last_day([webhook.pk], now=now)[webhook.pk].attempts == 0
    webhook.refresh_from_db()
    assert health(webhook, now=now) == Health.IDLE


def test_the_most_urgent_webhooks_come_first(clock):
    organization = OrganizationFactory()
    healthy, worse, bad, failing, gone, off, held, other = (
        subscribed(name=name, organization=OrganizationFactory() if name == "other" else organization, **fields)
        for name, fields in {
            "healthy": {},
            "worse": {},
            "bad": {},
            "failing": {"pauses": 1, "failures": 4},
            "gone": {"enabled": False, "disabled_reason": "gone"},
            "off": {"enabled": False, "disabled_reason": "admin"},
            "held": {"held_until": clock.now + timedelta(minutes=1)},
            "other": {"pauses": 1, "failures": 4},
        }.items()
    )
    count(healthy, (DELIVERED, 20), at=clock.now)
    count(held, (DELIVERED, 20), at=clock.now)
    count(bad, (DELIVERED, 99), (GIVEN_UP, 1), at=clock.now)
    count(worse, (DELIVERED, 99), (GIVEN_UP, 3), at=clock.now - timedelta(hours=3))
    count(off, (GIVEN_UP, 9), at=clock.now)

    found = needing_attention(Webhook.objects.filter(organization=organization), now=clock.now, most=50)

    assert [(webhook.name, one.word.value) for webhook, one in found] == [
        ("gone", "disabled"),
        ("failing", "failing"),
        ("worse", "degraded"),
        ("bad", "degraded"),
        ("held", "degraded"),
    ]
    everywhere = needing_attention(Webhook.objects.all(), now=clock.now, most=50)
    assert other.pk in {webhook.pk for webhook, _one in everywhere}
    assert len(needing_attention(Webhook.objects.filter(organization=organization), now=clock.now, most=2)) == 2


def test_what_needs_attention_takes_three_queries_for_any_number_of_webhooks(clock, django_assert_num_queries):
    organization = OrganizationFactory()
    for _ in range(4):
        count(subscribed(organization=organization), (GIVEN_UP, 1), at=clock.now)

    with django_assert_num_queries(3):
        assert len(needing_attention(Webhook.objects.filter(organization=organization), now=clock.now, most=50)) == 4
