"""The limits of a webhook: its concurrency, its free slots and its rate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.factories import unsaved_webhook
from tms_webhooks.models import Webhook
from tms_webhooks.worker.concurrency import Capacity, InFlight, allowed_requests, capacity_of

NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)


def capacity(webhook: Webhook, *, rounds: int = 1, **in_flight: int) -> Capacity:
    return capacity_of(
        webhook,
        NOW,
        in_flight=InFlight(**in_flight),
        wanted=lambda _webhook, concurrency, mine: rounds * concurrency - mine,
    )


@pytest.mark.parametrize(
    ("webhook", "concurrency"),
    [
        (unsaved_webhook(), 32),
        (unsaved_webhook(max_in_flight=7), 7),
        (unsaved_webhook(max_in_flight=33), 32),
        (unsaved_webhook(max_in_flight=50), 32),
        (unsaved_webhook(max_in_flight=7, ordered=True), 1),
        (unsaved_webhook(max_in_flight=7, failures=3), 7),
        (unsaved_webhook(max_in_flight=7, failures=4), 1),
        (unsaved_webhook(max_in_flight=7, failures=400), 1),
    ],
)
def test_concurrency_is_the_lower_of_webhooks_and_settings_and_one_if_ordered_or_after_a_pause(webhook, concurrency):
    assert capacity(webhook) == Capacity(concurrency=concurrency, free=concurrency, free_replays=1)


@pytest.mark.parametrize(
    ("mine", "others", "expected"),
    [
        (0, 0, Capacity(4, 4, 1)),
        (1, 0, Capacity(4, 3, 1)),
        (4, 0, Capacity(4, 0, 0)),
        (0, 1, Capacity(3, 3, 1)),
        (2, 1, Capacity(3, 1, 1)),
        (0, 4, Capacity(0, 0, 0)),
        (0, 9, Capacity(0, 0, 0)),
    ],
)
def test_deliveries_of_other_workers_reduce_concurrency_and_own_ones_reduce_free_slots(mine, others, expected):
    assert capacity(unsaved_webhook(max_in_flight=4), mine=mine, others=others) == expected


def test_a_worker_may_prefetch_more_than_it_sends_at_once():
    assert capacity(unsaved_webhook(max_in_flight=2), rounds=10, mine=5) == Capacity(
        concurrency=2, free=15, free_replays=1
    )


@pytest.mark.parametrize(
    "webhook", [unsaved_webhook(max_in_flight=2, ordered=True), unsaved_webhook(max_in_flight=2, failures=1)]
)
def test_an_ordered_or_failing_webhook_gets_no_prefetch(webhook):
    found = capacity(webhook, rounds=10)

    assert found.free == found.concurrency


def test_beside_another_worker_none_is_prefetched_so_that_both_hold_no_more_than_the_slots():
    assert capacity(unsaved_webhook(max_in_flight=8), rounds=10, others=3, mine=1) == Capacity(5, 4, 1)


@pytest.mark.parametrize(("replays", "more"), [(0, 1), (1, 0), (2, 0)])
def test_one_replay_is_in_flight_at_a_time(replays, more):
    assert capacity(unsaved_webhook(max_in_flight=5), others=replays, replays=replays).free_replays == more


def test_a_webhook_without_a_rate_limit_allows_any_number():
    assert allowed_requests(unsaved_webhook(), NOW) is None


@pytest.mark.parametrize(
    ("rate", "left", "seconds", "tokens"),
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
    webhook = unsaved_webhook(rate_limit_per_second=rate, tokens=left, tokens_at=NOW - timedelta(seconds=seconds))

    assert allowed_requests(webhook, NOW) == pytest.approx(tokens)


@pytest.mark.parametrize(("rate", "tokens"), [(0.2, 1), (3, 1), (20, 1), (50, 2.5), (1_000, 50)])
def test_a_webhook_that_was_never_served_may_have_one_or_a_twentieth_of_a_second(rate, tokens):
    assert allowed_requests(unsaved_webhook(rate_limit_per_second=rate), NOW) == tokens


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), 0.0, -1.0])
def test_an_invalid_rate_limits_nothing(rate):
    assert allowed_requests(unsaved_webhook(rate_limit_per_second=rate), NOW) is None


@pytest.mark.parametrize(("left", "free"), [(0.99, 0), (1.0, 1), (3.7, 3), (9.0, 8)])
def test_whole_tokens_limit_the_free_slots(left, free):
    webhook = unsaved_webhook(max_in_flight=8, rate_limit_per_second=200, tokens=left, tokens_at=NOW)

    assert capacity(webhook).free == free


@pytest.mark.parametrize("rate", [1, 2, 3, 7, 20, 25, 40, 49, 50, 51, 100, 333])
def test_in_any_second_no_more_requests_are_allowed_than_the_rate_and_in_the_long_run_nearly_as_many(rate):
    """The tokens are taken as a claim takes them, every 2 ms for 10 s."""
    webhook, sent = unsaved_webhook(rate_limit_per_second=rate), []
    for step in range(5_000):
        now = NOW + timedelta(milliseconds=2 * step)
        allowed = allowed_requests(webhook, now)
        count = int(allowed)
        if count:
            webhook.state.tokens, webhook.state.tokens_at = allowed - count, now
        sent.append(count)

    assert max(sum(sent[start : start + 500]) for start in range(len(sent))) <= rate
    assert sum(sent) >= 0.9 * 10 * rate


@pytest.mark.parametrize(
    ("rate", "tokens", "allowed_in"),
    [(None, 0, 0.0), (10, 0, 1 / 9.8), (10, 0.5, 0.5 / 9.8), (10, 1, 1 / 9.8), (100, 4.5, 0.5 / 94.08)],
)
def test_a_capacity_says_when_the_rate_allows_another_request_than_the_free_ones(rate, tokens, allowed_in):
    webhook = unsaved_webhook(rate_limit_per_second=rate, tokens=tokens, tokens_at=NOW)

    assert capacity(webhook).allowed_in == pytest.approx(allowed_in)


def test_where_the_concurrency_is_the_limit_the_rate_allows_more_now():
    webhook = unsaved_webhook(max_in_flight=2, rate_limit_per_second=100, tokens=5, tokens_at=NOW)

    assert (capacity(webhook).free, capacity(webhook).allowed_in) == (2, 0.0)
