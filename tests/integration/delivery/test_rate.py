"""A webhook that names a rate gets no more requests a second; what is over it waits, and is charged nothing."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from tests.integration.delivery.rows import subscribed, write, write_delivery
from tms_webhooks.choices import Priority


@pytest.fixture
def limited(due):
    """Make a webhook with this rate for which many deliveries are due."""

    def limited(rate, number=60, **fields):
        webhook = subscribed(rate_limit_per_second=rate, **{"max_in_flight": 50, **fields})
        due(webhook, number)
        return webhook

    return limited


def test_two_workers_share_one_rate(limited, alice, bob, clock):
    webhook = limited(5, number=30)
    sent = []
    for _ in range(150):
        sent.append(len(alice.work()) + len(bob.work()))
        clock.advance(milliseconds=20)

    assert max(sum(sent[start : start + 50]) for start in range(len(sent))) == 5
    assert 13 <= sum(sent) <= 15
    assert webhook.deliveries.filter(status="delivered").count() == sum(sent)


def test_retries_count_for_the_rate_too(limited, alice, clock, wire):
    webhook = limited(1, number=2, schedule=[0, 0, 0])
    wire.otherwise = 500
    for _ in range(3):
        assert len(alice.work()) == 1
        assert alice.work() == []
        clock.advance(seconds=1.1)

    assert sum(webhook.deliveries.values_list("attempts", flat=True)) == 3


def test_a_retry_waits_until_the_rate_allows_it_and_the_log_says_so(limited, alice, clock, wire):
    webhook = limited(0.01, number=1, schedule=[5, 5])
    wire.otherwise = 500

    alice.work()

    delivery = webhook.deliveries.get()
    attempt = delivery.attempt_log.get()
    # 2 % more than 100 s.
    assert (attempt.next_delay, attempt.delay_reason, attempt.charged) == (
        pytest.approx(102.04, abs=0.01),
        "throttle",
        True,
    )
    assert delivery.due_at == clock.now + timedelta(seconds=attempt.next_delay)


def test_webhooks_that_used_up_their_rate_take_no_place_in_a_batch(limited, alice, bob, clock):
    for _ in range(6):
        limited(1)
    assert len(alice.work()) == 6
    # Served last: those without a rate to spend would come first.
    free = write_delivery(subscribed(served_at=clock.now + timedelta(seconds=1)), now=clock.now)

    assert [request.delivery_id for request in bob.claim(limit=1)] == [free.pk]


def test_what_is_resent_by_hand_keeps_to_the_rate(limited, alice, clock):
    webhook = limited(1, number=2)
    by_hand = write_delivery(webhook, now=clock.now, priority=Priority.MANUAL)

    assert [request.delivery_id for request in alice.work()] == [by_hand.pk]
    assert alice.work() == []


@pytest.mark.parametrize("rate", [0, -1])
def test_the_database_refuses_a_rate_of_nothing(rate):
    webhook = subscribed()

    with pytest.raises(IntegrityError), transaction.atomic():
        write(webhook, rate_limit_per_second=rate)


@pytest.mark.parametrize("rate", [0, -1, 0.0001, float("nan"), float("inf")])
def test_the_message_says_what_a_rate_may_be(rate):
    webhook = subscribed()
    webhook.rate_limit_per_second = rate

    with pytest.raises(ValidationError) as refused:
        webhook.full_clean()

    assert refused.value.message_dict == {
        "rate_limit_per_second": [
            f"{float(rate)!r} is not a rate. Use 0.001 requests per second or more, or leave it empty for no limit."
        ]
    }
