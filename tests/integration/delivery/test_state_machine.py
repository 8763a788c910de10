"""Whatever happens, in whatever order: nothing is lost, nothing delivered twice, and no limit is broken."""

from collections import defaultdict
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests import sweeps
from tests.conftest import Clock
from tests.integration.delivery.jobs import WITH_A_RANGE
from tests.integration.delivery.objects import happen
from tests.integration.delivery.rows import disable, distinct, fan_out_all, subscribed
from tests.integration.delivery.wire import Wire, answer, broken
from tests.integration.delivery.worker import Worker
from tms_webhooks.choices import JobKind, Priority
from tms_webhooks.delivery import health, replay
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.manage import webhooks
from tms_webhooks.manage.deliveries import resend
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.models import Delivery, DeliveryAttempt, Event, Webhook, WebhookState
from tms_webhooks.models.delivery import FINISHED, OPEN
from tms_webhooks.outbox.fanout import fan_out

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="thousands of steps, which are about the rules alone"),
]

START = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
CAP = 2
ANSWERS = {
    "200": answer(200),
    "500": answer(500),
    "410": answer(410),
    "429": answer(429, {"retry-after": "90"}),
    "timeout": broken("timeout"),
    "blocked": broken("blocked_address"),
}
LIKELY = st.sampled_from(["200", "200", "200", "500", "500", "410", "429", "timeout", "blocked"])
WORKERS = st.sampled_from(["alice", "bob"])
INDEXES = st.integers(0, 50)


class Engine(RuleBasedStateMachine):
    """Two workers, a webhook that is ordered and one that is not, and people who interfere."""

    def __init__(self):
        super().__init__()
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.clock = Clock(START)
        self.wire = Wire()
        self.workers = {name: Worker(name, clock=self.clock, wire=self.wire) for name in ("alice", "bob")}
        self.hands = {name: [] for name in self.workers}
        first = subscribed("/ordered", ordered=True, schedule=[5, 60], max_in_flight=5)
        self.webhooks = [
            first,
            subscribed("/plain", organization=first.organization, schedule=[5, 60], max_in_flight=CAP),
        ]
        self.successes = defaultdict(int)
        self.reopened = defaultdict(int)
        self.jobs = []

    def teardown(self):
        try:
            self._nothing_is_lost()
        finally:
            transaction.set_rollback(True)
            self.atomic.__exit__(None, None, None)

    # What happens

    @rule(subject=st.sampled_from("abc"))
    def publish(self, subject):
        happen(self.webhooks[0].organization, subject)

    @rule()
    def fan_out(self):
        fan_out(self.clock.now)

    @rule(name=WORKERS, limit=st.integers(1, 5))
    def claim(self, name, limit):
        closed = distinct(Delivery.objects.filter(status__in=FINISHED), "pk")
        requests = self.workers[name].claim(limit)
        assert len(requests) <= limit
        taken = {request.delivery_id for request in requests}
        assert len(taken) == len(requests)
        assert not taken & closed
        for one in Delivery.objects.filter(pk__in=taken, webhook=self.webhooks[0]).exclude(priority=Priority.MANUAL):
            same = Delivery.objects.open().filter(webhook=one.webhook_id, order_key=one.order_key)
            assert not same.filter(event_id__lt=one.event_id).exists(), "an earlier one of the same object is open"
        self.hands[name] += requests

    @precondition(lambda self: any(self.hands.values()))
    @rule(name=WORKERS, said=LIKELY, index=INDEXES)
    def come_back(self, name, said, index):
        """An answer comes, in time or long after the lease was lost."""
        if self.hands[name]:
            request = self.hands[name].pop(index % len(self.hands[name]))
            self._write(name, request, said)

    @precondition(lambda self: any(self.hands.values()))
    @rule(name=WORKERS, said=st.lists(LIKELY, min_size=1, max_size=4))
    def come_back_together(self, name, said):
        worker, results = self.workers[name], []
        for one in said:
            if self.hands[name]:
                self.wire.answers = [ANSWERS[one]]
                results.append(worker.send(self.hands[name].pop(0)))
        self._record(name, results)

    @rule(name=WORKERS)
    def be_killed(self, name):
        """The worker dies, and another begins under a name of its own."""
        self.hands[name] = []
        self._replace(name)

    @rule(name=WORKERS)
    def heartbeat(self, name):
        """The leases are renewed, late or in time."""
        self.workers[name].renew()

    @rule(name=WORKERS)
    def end_well(self, name):
        """The worker gives all back, and another begins."""
        self.workers[name].leases.give_back(dict.fromkeys(self.workers[name].leases.held))
        self.hands[name] = []
        self._replace(name)

    @rule(seconds=st.sampled_from([1, 5, 31, 61, 600, 3_600, 86_400, 3 * 86_400]))
    def time_passes(self, seconds):
        self.clock.advance(seconds=seconds)

    @rule()
    def sweep(self):
        sweeps.settle(self.clock.now)
        health.warn_all(self.clock.now)

    @rule()
    def give_up_old(self):
        sweeps.give_up_old(self.clock.now)

    # What people do

    @rule(which=st.integers(0, 1))
    def disable(self, which):
        disable(self._webhook(which), self.clock.now)

    @rule(which=st.integers(0, 1))
    def enable(self, which):
        webhooks.enable(self._webhook(which), now=self.clock.now)

    @precondition(lambda self: Delivery.objects.filter(status__in=FINISHED).exists())
    @rule(index=INDEXES)
    def resend(self, index):
        finished = list(Delivery.objects.filter(status__in=FINISHED).order_by("pk"))
        self._watching_reopened(lambda: resend(finished[index % len(finished)], now=self.clock.now))

    @rule(which=st.integers(0, 1), kind=st.sampled_from(WITH_A_RANGE))
    def begin_job(self, which, kind):
        webhook, since = self._webhook(which), self.clock.now - timedelta(days=13)
        is_refused = webhook.jobs.unfinished().filter(kind=kind).exists()
        is_refused |= not webhook.enabled and kind != JobKind.CANCEL_PENDING
        with pytest.raises(ReplayError) if is_refused else nullcontext():
            self.jobs.append(start_job(kind, webhook, now=self.clock.now, since=since))

    @precondition(lambda self: self.jobs)
    @rule(index=INDEXES)
    def work_on_job(self, index):
        job = self.jobs[index % len(self.jobs)]
        self._watching_reopened(lambda: replay.work_on(job, now=self.clock.now))

    # What always holds

    @invariant()
    def every_promise_is_kept(self):
        deliveries = list(Delivery.objects.all())
        for webhook in self.webhooks:
            token = WebhookState.objects.values_list("lease", flat=True).get(pk=webhook.pk)
            holder = [name for name, worker in self.workers.items() if worker.token == token]
            in_flight = [one for name in holder for one in self.hands[name] if one.webhook_id == webhook.pk]
            assert len(in_flight) <= (1 if webhook.ordered else CAP)
        numbers = defaultdict(list)
        logged = DeliveryAttempt.objects.filter(number__isnull=False).order_by("number")
        for delivery_id, number in logged.values_list("delivery_id", "number"):
            numbers[delivery_id].append(number)
        for one in deliveries:
            is_open = one.status in OPEN
            assert (one.due_at is not None, one.finished_at is None) == (is_open, is_open), one.status
            assert one.charged <= one.attempts
            assert numbers[one.pk] == list(range(1, one.attempts + 1))
            assert self.successes[one.pk] <= 1 + self.reopened[one.pk], "delivered twice without a replay"
        fanned_out = Event.objects.filter(fanned_out_at__isnull=False).count()
        assert len(deliveries) == fanned_out * len(self.webhooks)

    # Steps

    def _replace(self, name):
        """Have another worker begin, under a name of its own."""
        worker = self.workers[name]
        self.workers[name] = Worker(worker.token + "'", clock=self.clock, wire=self.wire)

    def _webhook(self, which):
        return Webhook.objects.get(pk=self.webhooks[which].pk)

    def _write(self, name, request, said):
        self.wire.answers = [ANSWERS[said]]
        self._record(name, [self.workers[name].send(request)])

    def _record(self, name, results):
        held = distinct(WebhookState.objects.filter(lease=self.workers[name].token), "pk")
        before = {pk: facts for pk, *facts in Delivery.objects.values_list("pk", "status", "attempts")}
        self.workers[name].write(*results)
        after = dict(Delivery.objects.values_list("pk", "status"))
        for result in results:
            pk = result.request.delivery_id
            status, attempts = before[pk]
            is_timely = result.request.webhook_id in held and attempts == result.request.number - 1
            if is_timely and (status in OPEN or result.outcome.success):
                assert (after[pk] == "delivered") == result.outcome.success
                self.successes[pk] += result.outcome.success
            elif status in FINISHED:
                assert after[pk] == status, "a late result has moved a delivery"

    def _watching_reopened(self, act):
        before = distinct(Delivery.objects.filter(status__in=FINISHED), "pk")
        act()
        after = distinct(Delivery.objects.filter(status__in=FINISHED), "pk")
        for pk in before - after:
            self.reopened[pk] += 1

    def _nothing_is_lost(self):
        """Once all is well, all that is open comes to its end."""
        for which in range(len(self.webhooks)):
            self.enable(which)
        fan_out_all(self.clock.now)
        # What the others hold, and never send back, comes due when their leases are over.
        self.clock.advance(days=2)
        self.workers["zoe"] = Worker("zoe", clock=self.clock, wire=self.wire)
        for _ in range(20 + 2 * Delivery.objects.open().count()):
            for request in self.workers["zoe"].claim():
                self._write("zoe", request, "200")
            if not Delivery.objects.open().exists():
                break
            self.clock.advance(seconds=1)
        assert not Delivery.objects.open().exists()
        self.every_promise_is_kept()


def test_the_engine_keeps_its_promises():
    run_state_machine_as_test(
        Engine,
        settings=settings(
            max_examples=25,
            stateful_step_count=40,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
            database=None,
            print_blob=True,
        ),
    )
