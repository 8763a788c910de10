"""Several drains share the webhooks: nothing stands, nothing comes twice, and limits are exact, whichever drain is killed."""

import os
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from random import Random

import pytest
from django.db import connection

from tests.integration.delivery.rows import distinct
from tests.patience import PATIENCE
from tests.receiver import Answer
from tests.scenarios.mixed import DELIVERIES, assert_limits_are_exact, write_mixed
from tests.scenarios.outcome import came, wait_until_all
from tests.scenarios.processes import lease_of, stop, tally_of
from tms_webhooks.models import Delivery, DeliveryAttempt, WebhookState

pytestmark = pytest.mark.slow

ROUNDS = int(os.environ.get("TMS_SCENARIO_ROUNDS", "5"))
"""Bursts that are followed by silence: 200 of them take some minutes."""
HANDOVERS = 5 * ROUNDS
WEBHOOKS = 6
DELAY = 0.1
MANY = 120
IS_POSTGRESQL = connection.vendor == "postgresql"
LEASE = 15.0
"""As installed."""


@contextmanager
def drains(processes, number):
    """Start so many drains, with leases as installed."""
    leased = processes.but(**lease_of(LEASE))
    with ExitStack() as stack:
        # They run until they are stopped, however many rounds there are.
        yield [stack.enter_context(leased.drain("--no-timer", seconds=PATIENCE + 5 * ROUNDS)) for _ in range(number)]


def holders(tables):
    """Return the tokens of the drains that hold webhooks."""
    return distinct(WebhookState.objects.using(tables.using).exclude(lease=""), "lease")


def assert_each_came_once(tables, receiver, number):
    times = came(receiver)
    assert (len(times), set(times.values())) == (number, {1})
    rows = Delivery.objects.using(tables.using).values_list("status", "attempts")
    assert Counter(rows) == {("delivered", 1): number}
    assert not DeliveryAttempt.objects.using(tables.using).filter(number=None).exists()


@pytest.mark.parametrize("number", [2, 4])
def test_after_each_burst_nothing_stands_and_in_the_silence_all_is_given_back(processes, tables, receiver, number):
    random, events = Random(4), 0
    receiver.respond = lambda _request: Answer(delay=random.choice([0.0, 0.0, 0.01, 0.05]))
    for path in range(WEBHOOKS):
        tables.subscribe(receiver, str(path))
    with drains(processes, number) as running:
        for _ in range(ROUNDS):
            for burst in random.choices([1, 3, 20, 60], k=random.randint(1, 3)):
                tables.add_events(burst)
                events += burst
            tables.wait_for({"delivered": WEBHOOKS * events})
        tables.wait_until(lambda: not holders(tables))
        tallies = [stop(one) for one in running]

    assert sum(tally["sent"] for tally in tallies) == WEBHOOKS * events
    assert_each_came_once(tables, receiver, WEBHOOKS * events)


def test_the_webhooks_of_a_killed_drain_are_served_again_and_only_what_was_in_flight_comes_twice(
    processes, tables, receiver
):
    receiver.respond = lambda _request: Answer(delay=DELAY)
    for path in range(WEBHOOKS):
        tables.subscribe(receiver, str(path), max_in_flight=1)
    with drains(processes, 2) as (victim, heir):
        tables.add_events(MANY)
        tables.wait_until(lambda: len(holders(tables)) == 2)
        victim.kill()
        killed_at = time.monotonic()
        receiver.respond = None
        wait_until_all(receiver, WEBHOOKS * MANY)
        tables.wait_for({"delivered": WEBHOOKS * MANY})
        took = time.monotonic() - killed_at
        stop(heir)

    if IS_POSTGRESQL:
        # Its session has ended, so no drain waits for the end of the lease.
        assert took < LEASE - 3
    times = came(receiver)
    assert max(times.values()) <= 2
    # And what had come back, and was not written down.
    assert sum(times.values()) - len(times) <= 2 * WEBHOOKS
    rows = Delivery.objects.using(tables.using).values_list("status", "attempts")
    assert Counter(rows) == {("delivered", 1): WEBHOOKS * MANY}


def test_webhooks_that_are_handed_over_again_and_again_lose_nothing(processes, tables, receiver):
    random, events = Random(5), 0
    receiver.respond = lambda _request: Answer(delay=random.choice([0.0, 0.0, 0.01, 0.05]))
    tables.subscribe(receiver, "plain")
    tables.subscribe(receiver, "ordered", ordered=True)
    leased = processes.but(**lease_of(LEASE))
    with ExitStack() as stack:
        chain = ("tests.scenarios.handover", str(HANDOVERS // 2))
        chains = [stack.enter_context(leased.start(*chain)) for _ in range(2)]
        while any(one.poll() is None for one in chains):
            burst = random.choice([1, 1, 3, 20])
            tables.add_events(burst)
            events += burst
            done = {"delivered": 2 * events}
            # Nothing stands, except what came after the last of them.
            tables.wait_until(
                lambda done=done: tables.statuses() == done or all(one.poll() is not None for one in chains)
            )
        sent = sum(map(tally_of, chains))
    assert not holders(tables)
    with leased.drain("--until-idle") as last:
        sent += tally_of(last)["sent"]

    assert sent == 2 * events
    assert_each_came_once(tables, receiver, 2 * events)


def test_order_caps_and_rates_are_exact_beside_four_drains(processes, tables, receiver):
    events = write_mixed(tables, receiver)

    with drains(processes, 4) as running:
        wait_until_all(receiver, DELIVERIES)
        tables.wait_for({"delivered": DELIVERIES})
        tallies = [stop(one) for one in running]

    assert sum(tally["sent"] for tally in tallies) == DELIVERIES
    assert_each_came_once(tables, receiver, DELIVERIES)
    assert_limits_are_exact(receiver, events)


@pytest.mark.skipif(
    connection.vendor == "sqlite", reason="an open transaction of SQLite keeps no row that others change"
)
def test_a_transaction_that_stays_open_for_the_whole_run_stops_nothing(processes, tables, receiver):
    for path in range(WEBHOOKS):
        tables.subscribe(receiver, str(path))
    events, other = 0, tables.connection.copy()
    try:
        with other.cursor() as cursor:
            cursor.execute(
                "START TRANSACTION ISOLATION LEVEL REPEATABLE READ" if IS_POSTGRESQL else "START TRANSACTION"
            )
            cursor.execute(f"SELECT COUNT(*) FROM {Delivery._meta.db_table}")
        with drains(processes, 2) as running:
            for burst in (1, 40, 3, 60):
                tables.add_events(burst)
                events += burst
                tables.wait_for({"delivered": WEBHOOKS * events})
            for one in running:
                stop(one)
    finally:
        other.close()

    assert_each_came_once(tables, receiver, WEBHOOKS * events)
