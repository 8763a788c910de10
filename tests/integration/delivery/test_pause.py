"""A webhook that fails again and again is left in peace, longer each time, and asked once in a while."""

import logging
from datetime import timedelta

import pytest

from tests.integration.delivery.rows import distinct, stored, subscribed, write, write_events
from tms_webhooks.models import Webhook, WebhookState

MINUTE = timedelta(minutes=1)


@pytest.fixture
def paused(clock, wire, alice, due):
    """Make a webhook that has just been paused, with so many deliveries left that were never tried; none is retried."""

    def paused(left=10, **fields):
        webhook = subscribed(**{"max_retries": 0, **fields})
        wire.otherwise = 500
        due(webhook, 4 + left)
        while Webhook.objects.get(pk=webhook.pk).state.failures < 4:
            assert alice.work(limit=1)
        webhook.refresh_from_db()
        assert webhook.state.paused_until == clock.now + MINUTE
        return webhook

    return paused


def length_of_pause(webhook, clock):
    webhook.refresh_from_db()
    return webhook.state.paused_until and webhook.state.paused_until - clock.now


@pytest.mark.parametrize("failures, is_paused", [(3, False), (4, True)])
def test_the_fourth_failure_in_a_row_pauses_a_webhook(wire, alice, due, clock, caplog, failures, is_paused):
    webhook = subscribed()
    due(webhook, 10)
    wire.otherwise = 500

    for _ in range(failures):
        alice.work(limit=1)

    assert length_of_pause(webhook, clock) == (MINUTE if is_paused else None)
    assert (f"paused webhook={webhook.pk} failures=4 seconds=60" in caplog.text) is is_paused
    assert bool(alice.claim()) is not is_paused
    assert (webhook.state.failures, webhook.state.failing_since, webhook.enabled) == (failures, clock.now, True)


def test_the_setting_says_how_many_failures_pause_a_webhook(settings_of_app, wire, alice, due, clock):
    settings_of_app(PAUSE_AFTER_FAILURES=2, PAUSE_FIRST_SECONDS=10, PAUSE_LONGEST_SECONDS=15)
    webhook = subscribed(max_in_flight=1)
    due(webhook, 10)
    wire.otherwise = 500

    lengths = []
    for _ in range(4):
        alice.work()
        lengths.append(length_of_pause(webhook, clock))
        clock.now = webhook.state.paused_until or clock.now

    assert lengths == [None, timedelta(seconds=10), timedelta(seconds=15), timedelta(seconds=15)]


def test_a_success_resets_the_count(wire, alice, due):
    webhook = subscribed()
    due(webhook, 7)
    wire.answers = [500] * 3 + [200] + [500] * 3

    for _ in range(7):
        alice.work(limit=1)

    assert stored(webhook, "state__failures", "state__paused_until") == (3, None)


def test_a_pause_is_twice_as_long_as_the_one_before_up_to_a_day(settings_of_app, paused, wire, alice, bob, clock):
    settings_of_app(DISABLE_AFTER_FAILURES=1_000)
    webhook = paused(left=40)
    minutes = []
    for _ in range(14):
        minutes.append(length_of_pause(webhook, clock) / MINUTE)
        before = len(wire.requests)
        clock.now = webhook.state.paused_until - timedelta(microseconds=1)
        assert (alice.claim(), bob.claim()) == ([], [])
        clock.now = webhook.state.paused_until
        (probe,) = alice.claim()
        assert (alice.claim(), bob.claim()) == ([], [])
        alice.write(alice.send(probe))
        assert len(wire.requests) == before + 1

    assert minutes == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024, 1_440, 1_440, 1_440]


def test_a_receiver_that_fails_quickly_gets_the_failures_that_pause_it_and_the_requests_in_flight(run, wire):
    webhook = subscribed(max_in_flight=2, happened=300)
    # It was quick and well, so that the worker holds many of its deliveries.
    wire.answers = [200] * 100
    wire.otherwise = 500

    run()

    assert 104 <= len(wire.requests) <= 105
    assert not WebhookState.objects.exclude(lease="").exists()
    untried = webhook.deliveries.filter(attempts=0)
    assert distinct(untried, "status", "charged") == {("pending", 0)}
    assert untried.count() + len(wire.requests) == 300


def test_a_retry_that_comes_due_during_a_pause_is_the_probe_and_new_deliveries_wait(paused, alice, bob, wire, clock):
    webhook = paused(max_retries=None)
    tried = distinct(webhook.deliveries.exclude(attempts=0), "pk")

    clock.advance(seconds=4.9)
    assert alice.claim() == []
    clock.advance(seconds=0.1)
    (probe,) = alice.claim()

    assert probe.delivery_id in tried
    # One at a time, of all workers.
    assert (alice.claim(), bob.claim()) == ([], [])
    alice.write(alice.send(probe))
    assert {request.delivery_id for _ in range(10) for request in bob.work()} == tried - {probe.delivery_id}
    assert length_of_pause(webhook, clock) == MINUTE - timedelta(seconds=5)
    assert distinct(webhook.deliveries.filter(attempts=0), "status") == {"pending"}


@pytest.mark.parametrize("ordered", [False, True])
def test_the_retries_of_a_paused_webhook_are_found_behind_a_backlog(paused, alice, clock, due, ordered):
    webhook = paused(max_retries=None, ordered=ordered)
    clock.advance(seconds=-3_600)
    due(webhook, 100)
    clock.advance(seconds=3_600 + 5)

    (probe,) = alice.claim()

    assert webhook.deliveries.get(pk=probe.delivery_id).attempts == 1


def test_a_paused_and_ordered_webhook_gets_no_retry_before_an_earlier_event_of_its_object(paused, alice, clock):
    webhook = paused(max_retries=None, ordered=True)
    first, *others = webhook.deliveries.exclude(attempts=0).order_by("event_id")
    webhook.deliveries.filter(pk__in=[first.pk, others[0].pk]).update(order_key=7)
    webhook.deliveries.filter(pk__in=[one.pk for one in others[1:]]).update(due_at=clock.now + timedelta(hours=1))
    write(first, due_at=clock.now + timedelta(seconds=9))

    clock.advance(seconds=6)
    assert alice.claim() == []
    clock.advance(seconds=3)
    assert [request.delivery_id for request in alice.claim()] == [first.pk]


def test_one_delivery_that_fails_again_and_again_pauses_nothing(run, wire, clock):
    webhook = subscribed(schedule="skillable", happened=1)
    wire.otherwise = 500
    started_at, moments = clock.now, []

    while True:
        before = len(wire.requests)
        run()
        moments += [(clock.now - started_at).total_seconds()] * (len(wire.requests) - before)
        delivery = webhook.deliveries.get()
        if delivery.due_at is None:
            break
        clock.now = delivery.due_at

    assert moments == [0, 1, 3, 6, 10, 15]
    assert length_of_pause(webhook, clock) is None
    # Nor does it hide that several fail: the first failure of another one is enough.
    write_events(webhook.organization, 1)
    run()
    assert length_of_pause(webhook, clock) == MINUTE


def test_failures_of_requests_in_flight_when_the_pause_began_do_not_extend_it(wire, alice, due, clock):
    webhook = subscribed(max_in_flight=3)
    WebhookState.objects.update(failures=3, failing_since=clock.now)
    due(webhook, 5)
    wire.otherwise = 500
    results = [alice.send(request) for request in alice.claim()]
    until = clock.now + MINUTE

    alice.write(results[0])
    clock.advance(seconds=5)
    alice.write(results[1])
    webhook.refresh_from_db()
    assert (webhook.state.paused_until, webhook.state.pauses, webhook.state.failures) == (until, 1, 5)

    # Nor does one that comes back when the pause is over already.
    alice.renew()
    clock.now = until + timedelta(seconds=1)
    alice.write(results[2])
    assert stored(webhook, "state__paused_until", "state__pauses", "state__failures") == (until, 1, 6)
    assert distinct(webhook.deliveries.filter(attempts=1), "charged") == {1}


def test_a_probe_that_succeeds_heals_the_webhook(paused, wire, alice, clock, heard, caplog):
    caplog.set_level(logging.INFO)
    webhook = paused(left=10, max_in_flight=2)
    clock.now = webhook.state.paused_until
    wire.otherwise = 200

    assert len(alice.work()) == 1

    webhook.refresh_from_db()
    state = webhook.state
    assert (state.failures, state.failing_since, state.paused_until, state.pauses) == (0, None, None, 0)
    assert state.succeeded_at == clock.now
    assert [(name, facts["webhook"].pk, facts["now"]) for name, facts in heard if name != "exhausted"] == [
        ("recovered", webhook.pk, clock.now)
    ]
    assert f"recovered webhook={webhook.pk}" in caplog.text
    assert len(alice.claim()) == 2


def test_a_success_of_a_request_in_flight_ends_the_pause(wire, alice, due, clock):
    webhook = subscribed(max_in_flight=5)
    due(webhook, 20)
    requests = alice.claim()
    wire.otherwise = 500
    failures = [alice.send(request) for request in requests[:4]]
    wire.otherwise = 200
    success = alice.send(requests[4])
    alice.write(*failures)
    assert length_of_pause(webhook, clock) == MINUTE

    alice.write(success)

    assert length_of_pause(webhook, clock) is None
    assert len(alice.claim()) == 5
