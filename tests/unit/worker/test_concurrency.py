"""The limits of a webhook: its concurrency, its free slots and its rate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tms_webhooks.models import Webhook
from tms_webhooks.worker.concurrency import Capacity, InFlight, allowed_requests, capacity_of

NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)


def capacity(webhook: Webhook, *, rounds: int = 1, **in_flight: int) -> Capacity:
    return capacity_of(
        webhook, NOW, in_flight=InFlight(**in_flight), prefetch=lambda _webhook_id, concurrency: rounds * concurrency
    )


@pytest.mark.parametrize(
    ("webhook", "concurrency"),
    [
        (Webhook(), 2),
        (Webhook(max_in_flight=7), 7),
        (Webhook(max_in_flight=7, ordered=True), 1),
        (Webhook(max_in_flight=7, failures=3), 7),
        (Webhook(max_in_flight=7, failures=4), 1),
        (Webhook(max_in_flight=7, failures=400), 1),
    ],
)
def test_concurrency_is_the_webhooks_or_the_settings_and_one_if_ordered_or_after_a_pause(webhook, concurrency):
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
    assert capacity(Webhook(max_in_flight=4), mine=mine, others=others) == expected


def test_a_worker_may_prefetch_more_than_it_sends_at_once():
    assert capacity(Webhook(max_in_flight=2), rounds=10, mine=5) == Capacity(concurrency=2, free=15, free_replays=1)


@pytest.mark.parametrize("webhook", [Webhook(max_in_flight=2, ordered=True), Webhook(max_in_flight=2, failures=1)])
def test_an_ordered_or_failing_webhook_gets_no_prefetch(webhook):
    found = capacity(webhook, rounds=10)

    assert found.free == found.concurrency


@pytest.mark.parametrize(("replays", "more"), [(0, 1), (1, 0), (2, 0)])
def test_one_replay_is_in_flight_at_a_time(replays, more):
    assert capacity(Webhook(max_in_flight=5), others=replays, replays=replays).free_replays == more


def test_a_webhook_without_a_rate_limit_allows_any_number():
    assert allowed_requests(Webhook(), NOW) is None


@pytest.mark.parametrize(
    ("rate", "left", "seconds", "tokens"),
    [
        (5, 0, 0, 0),
        (5, 0, 0.5, 2.5),
        (5, 1, 0.5, 3.5),
        (5, 0, 60, 5),
        (0.2, 0, 1, 0.2),
        (0.2, 0, 5, 1),
        (0.2, 0, 500, 1),
        (1.5, 0, 60, 1.5),
        (5, 2, -4, 2),
        (5, 2, -60, 5),
        (2, 50, 0, 2),
    ],
)
def test_tokens_grow_with_time_up_to_a_seconds_worth_or_one(rate, left, seconds, tokens):
    webhook = Webhook(rate_limit_per_second=rate, tokens=left, tokens_at=NOW - timedelta(seconds=seconds))

    assert allowed_requests(webhook, NOW) == pytest.approx(tokens)


@pytest.mark.parametrize(("rate", "tokens"), [(0.2, 1), (3, 3), (2.5, 2.5)])
def test_a_webhook_that_was_never_served_has_a_seconds_worth(rate, tokens):
    assert allowed_requests(Webhook(rate_limit_per_second=rate), NOW) == tokens


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), 0.0, -1.0])
def test_an_invalid_rate_limits_nothing(rate):
    assert allowed_requests(Webhook(rate_limit_per_second=rate), NOW) is None


@pytest.mark.parametrize(("left", "free"), [(0.99, 0), (1.0, 1), (3.7, 3), (9.0, 8)])
def test_whole_tokens_limit_the_free_slots(left, free):
    webhook = Webhook(max_in_flight=8, rate_limit_per_second=10, tokens=left, tokens_at=NOW)

    assert capacity(webhook).free == free
