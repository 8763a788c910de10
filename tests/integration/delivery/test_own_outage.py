"""The operator's own outage is not the customers': a worker that reaches no receiver charges, pauses and notifies nobody."""

from datetime import timedelta

import pytest
from django.core import mail

from tests import sweeps
from tests.integration.delivery.rows import distinct, subscribed, write, write_event
from tests.integration.delivery.wire import Wire, answer, broken
from tms_webhooks.choices import ErrorAction
from tms_webhooks.delivery import health
from tms_webhooks.delivery.own_outage import OwnOutage
from tms_webhooks.models import Delivery, DeliveryAttempt, DrainSlot, Webhook
from tms_webhooks.monitoring.liveness import HealthLevel, assess, read_liveness
from tms_webhooks.net.transports.client import ThreadTransport
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.worker.drain import Drain


class Host:
    """A worker's host: drains follow each other in one slot, each until nothing is due, and so do the sweeps."""

    def __init__(self, clock):
        self.clock = clock
        self.outage = OwnOutage()
        self.level = HealthLevel.OK
        self.slot = DrainSlot.objects.create(number=1, owner="host", held_until=clock.now)

    def work(self, wire):
        DrainSlot.objects.update(held_until=self.clock.now + timedelta(seconds=30))
        drain = Drain(
            fan_out=fan_out,
            clock=self.clock,
            transport=ThreadTransport(wire),
            random=lambda: 0.5,
            renew_slot=lambda _now: 1,
            outage=self.outage,
        )
        drain.run(until_idle=True)
        health.warn_all(self.clock.now)
        sweeps.notify(self.clock)
        self.level = assess(read_liveness(now=self.clock.now), max_lag=120.0, keeps_drains=False).level

    def work_for(self, wire, *, every, times):
        for _ in range(times):
            self.work(wire)
            self.clock.now += every

    def restart(self):
        self.outage = OwnOutage()


@pytest.fixture
def host(clock):
    return Host(clock)


def customers(number, **values):
    """Make webhooks of so many organizations, each with its own host and one event."""
    made = [subscribed(**{"contacts": "ann@example.com", **values}) for _ in range(number)]
    for webhook in made:
        write(webhook, url=f"https://{webhook.pk}.example.com/hook")
        write_event(webhook.organization)
    return made


NO_DNS = Wire(otherwise="dns_error")


def charged():
    return distinct(Delivery, "charged")


@pytest.mark.parametrize("error_class", ["dns_error", "proxy_error"])
def test_five_days_without_a_network_cost_the_customers_nothing(host, clock, error_class, caplog):
    customers(4)
    wire = Wire(otherwise=broken(error_class))
    host.work_for(wire, every=timedelta(seconds=30), times=6)
    assert host.level == HealthLevel.STOPPED

    host.work_for(wire, every=timedelta(hours=6), times=20)

    assert distinct(Delivery, "status") == {"waiting"}
    assert max(charged()) <= 1
    assert distinct(Webhook, "enabled", "state__failures", "state__pauses", "state__failing_since") == {
        (True, 0, 0, None)
    }
    assert (mail.outbox, host.level) == ([], HealthLevel.STOPPED)
    assert [record.levelname for record in caplog.records if "has reached no receiver" in record.message] == ["ERROR"]
    wire = Wire()
    host.work_for(wire, every=timedelta(minutes=12), times=2)
    assert distinct(Delivery, "status") == {"delivered"}
    assert (mail.outbox, host.level) == ([], HealthLevel.OK)


def test_not_even_a_webhook_without_retries_gives_up_from_the_third_organization_on(host, clock):
    customers(2, max_retries=0)
    host.work(NO_DNS)
    later = customers(20, max_retries=0, error_action=ErrorAction.DISABLE)

    host.work_for(NO_DNS, every=timedelta(minutes=15), times=4)

    assert distinct(Delivery.objects.filter(webhook__in=later), "status", "charged") == {("waiting", 0)}
    assert DeliveryAttempt.objects.latest("pk").delay_reason == "breaker"


@pytest.mark.parametrize("same", ["organization", "url"])
def test_one_customer_with_many_dead_hosts_or_many_with_one_are_no_outage(host, clock, same):
    (first, *_others) = customers(8)
    Webhook.objects.update(**{same: getattr(first, same)})

    host.work_for(NO_DNS, every=timedelta(minutes=1), times=5)

    assert (host.level, min(Webhook.objects.values_list("state__failures", flat=True))) == (HealthLevel.OK, 3)


def test_one_success_ends_it_and_failures_are_charged_again(host, clock):
    webhooks = customers(4)
    host.work_for(NO_DNS, every=timedelta(seconds=30), times=6)
    up = f"https://{webhooks[0].pk}.example.com/hook"
    wire = Wire(otherwise=lambda request: answer() if request.url == up else _refuse())

    for _ in range(4):
        write_event(webhooks[0].organization)
        host.work_for(wire, every=timedelta(minutes=12), times=1)

    assert host.level == HealthLevel.OK
    assert min(Webhook.objects.exclude(pk=webhooks[0].pk).values_list("state__failures", flat=True)) >= 1


def _refuse():
    raise broken("connection_refused")


def test_a_worker_that_is_restarted_in_an_outage_charges_nobody(host, clock):
    customers(3)
    host.work_for(NO_DNS, every=timedelta(seconds=30), times=6)
    before = list(Delivery.objects.values_list("charged", flat=True))

    for _ in range(5):
        host.restart()
        host.work_for(NO_DNS, every=timedelta(minutes=12), times=1)

    assert list(Delivery.objects.values_list("charged", flat=True)) == before
