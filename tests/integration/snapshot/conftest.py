"""A snapshot from its start to its end, with and without requests."""

import json

import pytest

from example_project.training.factories import OrganizationFactory
from tests.integration.api.people import POLICY, client_of, member_of
from tests.integration.delivery.wire import Wire
from tms_webhooks import catalogue, snapshot
from tms_webhooks.choices import DeliveryStatus, JobKind
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.models import Delivery, Job
from tms_webhooks.net.transports.client import ThreadTransport
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.worker.drain import Drain


@pytest.fixture
def wire():
    """What stands in for the network: answers 200 by default."""
    return Wire()


@pytest.fixture
def run(clock, wire):
    """Run a drain on the test's clock and wire until nothing is due."""
    return lambda: Drain(fan_out=fan_out, clock=clock, transport=ThreadTransport(wire), random=lambda: 0.5).run(
        until_idle=True
    )


@pytest.fixture
def deliver(clock):
    """Finish all open deliveries of a webhook, as if its receiver had taken them."""

    def deliver(webhook, status=DeliveryStatus.DELIVERED):
        rows = Delivery.objects.filter(webhook=webhook).open()
        return rows.update(status=status, due_at=None, finished_at=clock.now)

    return deliver


@pytest.fixture
def take(clock, deliver):
    """Take a snapshot of these nouns to its end."""

    def take(webhook, *nouns):
        job = start_job(JobKind.SNAPSHOT, webhook, nouns=nouns, now=clock.now)
        for _ in range(100):
            while snapshot.work_on(job, now=clock.now):
                pass
            if job.finished_at is not None:
                break
            deliver(webhook)
        job.refresh_from_db()
        return job

    return take


def bodies(webhook):
    """Return the events that a webhook has deliveries of, in their order. Each is valid against its schema."""
    rows = Delivery.objects.filter(webhook=webhook).select_related("event").order_by("event_id")
    events = [json.loads(row.event.body) for row in rows]
    for event in events:
        catalogue.get(event["type"]).validate(event)
    return events


def sent(webhook):
    """Return the types of these events, each with the id of its object."""
    return [(event["type"], event["data"]["id"]) for event in bodies(webhook)]


@pytest.fixture
def organization():
    return OrganizationFactory()


@pytest.fixture
def client(organization, settings):
    settings.TMS_WEBHOOKS = {**settings.TMS_WEBHOOKS, "ACCESS_POLICY": POLICY}
    return client_of(member_of(organization))


@pytest.fixture
def deliver_to(run, wire, clock):
    """Work off all jobs and deliveries, and have mirrors receive the requests to them."""

    def deliver_to(*mirrors):
        while True:
            for job in Job.objects.unfinished().filter(kind=JobKind.SNAPSHOT):
                while snapshot.work_on(job, now=clock.now):
                    pass
            run()
            if not Job.objects.unfinished().exists():
                break
        for request in wire.requests:
            for mirror in mirrors:
                mirror.receive(json.loads(request.body))
        del wire.requests[:]

    return deliver_to
