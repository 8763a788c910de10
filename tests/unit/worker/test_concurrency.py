"""The limits of a webhook: its concurrency, its free slots and its rate."""

from datetime import timedelta

import pytest

from tests.conftest import NOW
from tests.unit.worker.requests import a_webhook, make_queues, queue_of
from tms_webhooks.models.webhook import RateLimit


def configured(webhook):
    """Return the queue of a webhook."""
    queues = make_queues()
    queues.lease([webhook.pk])
    queue_of(queues, webhook.pk).configure(webhook)
    return queue_of(queues, webhook.pk)


@pytest.mark.parametrize(
    "webhook, slots",
    [
        (a_webhook(), 32),
        (a_webhook(max_in_flight=7), 7),
        (a_webhook(max_in_flight=33), 32),
        (a_webhook(max_in_flight=50), 32),
        (a_webhook(max_in_flight=7, ordered=True), 1),
        (a_webhook(max_in_flight=7, state={"failures": 3}), 7),
        (a_webhook(max_in_flight=7, state={"failures": 4}), 1),
        (a_webhook(max_in_flight=7, state={"failures": 400}), 1),
    ],
)
def test_slots_are_the_lower_of_webhooks_and_settings_and_one_if_ordered_or_after_a_pause(webhook, slots):
    assert configured(webhook).slots == slots


def test_a_webhook_without_a_rate_limit_allows_any_number():
    assert RateLimit.of(a_webhook()) is None


@pytest.mark.parametrize(
    "rate, left, seconds, tokens",
    [
        (5, 0, 0, 0),
        (5, 0, 0.1, 0.49),
        (5, 0.2, 0.1, 0.69),
        (5, 0, 60, 1),
        (0.2, 0, 1, 0.196),
        (0.2, 0, 5, 0.98),
        (0.2, 0, 500, 1),
        (100, 0, 0.01, 0.9408),
        (100, 0, 60, 5),
        (5, 0.5, -4, 0.5),
        (5, 0.5, -60, 1),
        (2, 50, 0, 1),
    ],
)
def test_tokens_grow_with_time_up_to_a_twentieth_of_a_second_or_one(rate, left, seconds, tokens):
    limit = RateLimit(rate, left, NOW - timedelta(seconds=seconds))

    assert limit.allowed(NOW) == pytest.approx(tokens)


@pytest.mark.parametrize("rate, tokens", [(0.2, 1), (3, 1), (20, 1), (50, 2.5), (1_000, 50)])
def test_a_webhook_that_was_never_served_may_have_one_or_a_twentieth_of_a_second(rate, tokens):
    assert RateLimit.of(a_webhook(rate_limit_per_second=rate)).allowed(NOW) == tokens


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), 0.0, -1.0])
def test_an_invalid_rate_limits_nothing(rate):
    assert RateLimit.of(a_webhook(rate_limit_per_second=rate)) is None


@pytest.mark.parametrize("rate", [1, 2, 3, 7, 20, 25, 40, 49, 50, 51, 100, 333])
def test_in_any_second_no_more_requests_are_allowed_than_the_rate_and_in_the_long_run_nearly_as_many(rate):
    """The tokens are taken every 2 ms for 10 s."""
    limit, sent = RateLimit(rate, 0.0, None), []
    for step in range(5_000):
        now = NOW + timedelta(milliseconds=2 * step)
        sent.append(int(limit.allowed(now)))
        for _ in range(sent[-1]):
            limit.take(now)

    assert max(sum(sent[start : start + 500]) for start in range(len(sent))) <= rate
    assert sum(sent) >= 0.9 * 10 * rate


@pytest.mark.parametrize(
    "rate, tokens, seconds", [(10, 0, 1 / 9.8), (10, 0.5, 0.5 / 9.8), (10, 1, 0.0), (100, 0.5, 0.5 / 94.08)]
)
def test_a_limit_says_when_it_allows_the_next_request(rate, tokens, seconds):
    assert RateLimit(rate, tokens, NOW).seconds_until_allowed(NOW) == pytest.approx(seconds)


def test_a_new_rate_keeps_the_tokens():
    queue = configured(a_webhook(rate_limit_per_second=50, state={"tokens": 0.4, "tokens_at": NOW}))

    queue.configure(a_webhook(rate_limit_per_second=2))

    assert queue.rate.allowed(NOW) == pytest.approx(0.4)
