"""Whatever happens to an object, and whenever: a quiet period loses no change, delays none for too long, and merges no status."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Clock
from tests.factories import WebhookFactory
from tests.integration.delivery.updates import ChangingObject
from tests.integration.delivery.wire import Wire
from tests.integration.delivery.worker import Worker
from tms_webhooks.models import Delivery, Subscription
from tms_webhooks.outbox.fanout import fan_out

pytestmark = pytest.mark.slow

START = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
QUIET, LONGEST = 60, 150
# In the order of the payload.
FIELDS = ("last_name", "phone", "city")
STATUS = "user.deactivated"

values = st.dictionaries(st.sampled_from(FIELDS), st.sampled_from("abc"), min_size=1)
# An update with new values, a change of status, or time that passes.
steps = st.lists(st.one_of(values, st.just(STATUS), st.sampled_from([1, 20, 59, 60, 61, 200])), max_size=25)


@contextmanager
def rolled_back():
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


class Receiver:
    """What a receiver knows of one user, which it checks with each request."""

    def __init__(self, *, ordered):
        self.clock, self.wire = Clock(START), Wire()
        self.worker = Worker("alice", clock=self.clock, wire=self.wire)
        self.webhook = WebhookFactory(ordered=ordered)
        Subscription.objects.create(
            webhook=self.webhook, event_type="*", quiet_seconds=QUIET, quiet_longest_seconds=LONGEST
        )
        self.user = ChangingObject(self.webhook.organization, city="a", last_name="a", phone="a")
        self.known = dict(self.user.values)
        self.differs_since = None
        self.statuses = []
        self.sequences = []

    def take(self, step):
        """Do one step, and nothing else at that moment."""
        if isinstance(step, int):
            self.let_pass(timedelta(seconds=step))
            return
        if step == STATUS:
            event = self.user.happen(STATUS)
            self.work()
            assert self.statuses[-1:] == [event.public_id], "a status is sent at once"
            return
        assert isinstance(step, dict)
        changes = {
            name: step[name] for name in FIELDS if step.get(name, self.user.values[name]) != self.user.values[name]
        }
        if changes:
            self.user.update(**changes)
            if self.differs_since is None:
                self.differs_since = self.clock.now
            if self.user.values == self.known:
                self.differs_since = None
            self.work()

    def let_pass(self, time):
        """Let time pass; each request goes out when it is due."""
        end = self.clock.now + time
        while self.clock.now < end:
            due = Delivery.objects.open().order_by("due_at").values_list("due_at", flat=True).first()
            assert due is None or due > self.clock.now, "it is due and was not sent"
            self.clock.now = min(end, due or end)
            self.work()

    def work(self):
        fan_out(self.clock.now)
        before = len(self.wire.requests)
        if Delivery.objects.due(self.clock.now).exists():
            while self.worker.work():
                pass
        for request in self.wire.requests[before:]:
            self.receive(json.loads(request.body))
        if self.differs_since is not None:
            assert self.clock.now - self.differs_since < timedelta(seconds=LONGEST), "it is late"

    def receive(self, body):
        self.sequences.append(body["sequence"])
        if body["type"] == STATUS:
            self.statuses.append(body["id"])
            return
        sent = {name: body["data"][name] for name in FIELDS}
        assert body["changed"] == sorted(body["changed"], key=FIELDS.index)
        assert {name for name in FIELDS if sent[name] != self.known[name]} == set(body["changed"])
        assert body["previous"] == {name: self.known[name] for name in body["changed"]}
        self.known = sent
        self.differs_since = None


@pytest.mark.parametrize("ordered", [False, True], ids=["any order", "ordered"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(steps=steps)
def test_the_receiver_learns_all_changes_and_each_status(ordered, steps):
    with rolled_back():
        receiver = Receiver(ordered=ordered)
        for step in steps:
            receiver.take(step)
        receiver.take(LONGEST)

        assert receiver.known == {name: receiver.user.values[name] for name in FIELDS}
        assert len(receiver.statuses) == steps.count(STATUS)
        assert not Delivery.objects.open().exists()
        if ordered:
            assert receiver.sequences == sorted(receiver.sequences)
