"""A worker whose keys don't decrypt a webhook's secrets leaves it to the workers that have the right keys."""

from datetime import timedelta

import pytest
from cryptography.fernet import Fernet

from tests.integration.delivery.rows import distinct, subscribed, write_events
from tests.integration.delivery.wire import Wire
from tms_webhooks.models import Delivery, DeliveryAttempt, DrainSlot, Webhook
from tms_webhooks.monitoring.liveness import read_liveness
from tms_webhooks.net.transports.client import ThreadTransport
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.worker import leases
from tms_webhooks.worker.drain import Drain


def wrong():
    """Make a key that encrypted nothing."""
    return Fernet.generate_key().decode()


class Host:
    """A drain in a slot of its own, on a host with these keys; its turns are taken until nothing is due."""

    def __init__(self, number, keys, *, clock, use_keys):
        self.number, self.keys, self.clock, self.use_keys = number, keys, clock, use_keys
        self.left_at = {}
        self.wire = Wire()

    def begin(self):
        self.use_keys(self.keys, self.left_at)
        until = self.clock.now + timedelta(seconds=30)
        assert DrainSlot.objects.take(self.number, owner=f"host {self.number}", now=self.clock.now, until=until)

    def work(self):
        self.begin()
        drain = Drain(
            fan_out=fan_out, clock=self.clock, transport=ThreadTransport(self.wire), renew_slot=lambda _now: self.number
        )
        drain.run(until_idle=True)


@pytest.fixture
def host(clock, settings, monkeypatch):
    """Make a host with these keys; without any it has the right ones."""
    app, made = settings.TMS_WEBHOOKS, []

    def use_keys(keys, left_at):
        settings.TMS_WEBHOOKS = {**app, "ENCRYPTION_KEYS": keys} if keys else app
        # A process of its own.
        monkeypatch.setattr(leases, "_left_at", left_at)

    def host(*keys):
        made.append(Host(len(made) + 1, list(keys), clock=clock, use_keys=use_keys))
        made[-1].begin()
        return made[-1]

    use_keys([], {})
    yield host
    use_keys([], {})


@pytest.fixture
def webhooks():
    made = [subscribed(f"/{number}") for number in range(3)]
    for webhook in made:
        write_events(webhook.organization, 10)
    return made


def test_one_worker_with_a_wrong_key_holds_nothing_up(webhooks, host, clock):
    blind, right = host(wrong()), host()

    for _ in range(4):
        blind.work()
        right.work()
        clock.now += timedelta(seconds=1)

    assert distinct(Delivery, "status", "attempts") == {("delivered", 1)}
    assert (blind.wire.requests, len(right.wire.requests)) == ([], 30)
    assert distinct(Webhook, "state__held_until") == {None}
    assert distinct(DeliveryAttempt, "error_class") == {""}


def test_a_webhook_that_was_left_to_others_is_not_leased_for_five_minutes(webhooks, host, clock):
    blind, _right = host(wrong()), host()
    blind.work()
    served_at = distinct(Webhook, "state__served_at")

    clock.now += timedelta(seconds=299)
    host()
    blind.work()

    assert distinct(Webhook, "state__served_at") == served_at
    assert distinct(Delivery, "status", "attempts") == {("pending", 0)}


def test_if_all_workers_have_the_same_wrong_key_the_webhooks_are_held_and_health_says_so(webhooks, host, clock):
    key = wrong()
    first, second = host(key), host(key)

    first.work()
    second.work()

    assert distinct(Webhook, "state__hold_reason") == {"keys"}
    assert distinct(Delivery, "charged") == {0}
    assert read_liveness(now=clock.now).webhooks_without_keys == 3


def test_workers_with_different_wrong_keys_hold_the_webhooks_after_five_minutes(webhooks, host, clock):
    first, second = host(wrong()), host(wrong())
    first.work()
    second.work()
    assert read_liveness(now=clock.now).webhooks_without_keys == 0

    clock.now += timedelta(minutes=5)
    second.begin()
    first.work()

    assert distinct(Webhook, "state__hold_reason") == {"keys"}
    assert read_liveness(now=clock.now).webhooks_without_keys == 3
