"""The steps of a worker, called one by one: lease and read, send and write."""

from datetime import timedelta
from unittest.mock import patch

from tests.integration.delivery.rows import lease, write_delivery
from tms_webhooks import tasks
from tms_webhooks.choices import Priority
from tms_webhooks.delivery.rendering import with_contents
from tms_webhooks.net.transports.client import ThreadTransport
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.routing.budget import TimeSpent
from tms_webhooks.worker import leases
from tms_webhooks.worker.drain import Drain
from tms_webhooks.worker.leases import Quota, due_within, held_webhooks
from tms_webhooks.worker.send import make_requests, send

MANY = 1_000
TOGETHER = "together"
LEASE = timedelta(seconds=leases.LEASE)


class Worker:
    """The steps of a drain, which uses the whole capacity of each webhook at once. Two of them are two workers."""

    def __init__(self, name, *, clock, wire):
        self.clock = clock
        self.wire = wire
        self.drain = Drain(fan_out=fan_out, clock=clock, transport=ThreadTransport(wire), random=lambda: 0.5)
        self.leases.token = name
        # Its steps are called one by one.
        self.drain._selector.close()
        self.drain._transport.close()

    @property
    def leases(self):
        return self.drain._leases

    @property
    def queues(self):
        return self.drain._queues

    @property
    def token(self):
        return self.leases.token

    def claim(self, limit=64):
        """Lease webhooks, read what is due, and return the requests that may start now, at most so many."""
        self.leases._read_all_at = 0.0
        leased = self.leases.acquire(self.clock.now)
        self.queues.lease(leased)
        for key in self.queues.keys:
            self.queues._limits[key].limit = MANY
        self.queues.expect_more(self.queues.keys)
        while self.drain._read():
            pass
        requests = []
        while len(requests) < limit and (request := self.queues.next()) is not None:
            requests.append(request)
        return requests

    def send(self, request):
        if request.unrendered is not None:
            (request,) = with_contents([request], TimeSpent())
        return send(request, client=self.wire, clock=self.clock)

    def answered(self, webhook):
        """Write a delivery to a webhook, send it, and return the result. Any number of workers hold the webhook together."""
        self.leases.token = TOGETHER
        delivery = write_delivery(webhook, now=self.clock.now)
        # It has run out, and no other worker has taken over: the result counts, and a sweep waits for nothing.
        lease(webhook, self.clock.now, worker=self.token)
        self.leases.held.add(webhook.pk)
        self.queues.lease([webhook.pk])
        rows = held_webhooks([webhook.pk], token=self.token, now=self.clock.now, known={})
        due = due_within([Quota(webhook.pk, Priority.LIVE, MANY, False, (), None)], now=self.clock.now)
        self.queues._queues[webhook.pk].configure(rows[webhook.pk].webhook)
        self.queues.add(make_requests([one for one in due if one.delivery_id == delivery.pk], webhooks=rows))
        self.queues._limits[webhook.pk].limit = MANY
        request = self.queues.next()
        assert request is not None
        return self.send(request)

    def write(self, *results):
        """Write results, and give back the webhooks of which nothing is in flight any more."""
        for result in results:
            self.queues.answered(result, result.seconds)
        self.drain._results = list(results)
        while self.drain._results:
            self.drain._write_some(MANY)
        if self.token != TOGETHER:
            self.rest()

    def rest(self):
        """Give back the webhooks of which nothing is in flight."""
        self.queues.drop([key for key, queue in self.queues._queues.items() if not queue.in_flight])
        self.drain._give_back()

    def renew(self):
        self.leases.renew_at = float("-inf")
        self.drain._renew()

    def work(self, limit=64):
        """Claim, send and write; return the requests."""
        requests = self.claim(limit)
        self.write(*[self.send(request) for request in requests])
        return requests


def run_link(make_drain, *, clock, slot=1, successor=False):
    """Run the drain that ``make_drain`` returns as the task does, and wait for its last answers; return its counts."""
    with (
        patch.object(tasks, "Drain", lambda **_options: make_drain()),
        patch.object(tasks.clock, "measured_now", clock),
        patch.object(tasks, "finish_in_thread", lambda finish: finish()),
    ):
        return tasks.run_in_slot(slot, successor=successor)
