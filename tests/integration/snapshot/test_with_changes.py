"""A snapshot and the changes that are made during it leave the receiver equal to the database."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone

from example_project.training.factories import (
    TrainingClassFactory,
)
from example_project.training.models import TrainingClass
from tests.factories import WebhookFactory
from tests.integration.snapshot.conftest import bodies
from tests.outbox import number_events
from tests.patience import PATIENCE
from tms_webhooks import snapshot
from tms_webhooks.choices import CheckResult, JobKind
from tms_webhooks.delivery import replay
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.models import Delivery, Event, EventSequence
from tms_webhooks.outbox import feed
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.routing.explain import explain


@pytest.fixture
def webhook():
    return WebhookFactory(events=["class.*", "enrollment.*"])


@pytest.fixture
def training_class(webhook):
    return TrainingClassFactory(organization=webhook.organization, name="Old")


def receiver_of_the_page():
    """Return the receiver that ``docs/howto/snapshot.md`` shows."""
    page = (Path(__file__).parents[3] / "docs" / "howto" / "snapshot.md").read_text()
    code, *_others = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    names = {}
    exec(code, names)
    return names["handle"]


class Receiver:
    """A copy of the objects."""

    def __init__(self):
        self.known = {}
        self.objects = {}
        self._handle = receiver_of_the_page()

    def take(self, event):
        self._handle(event, self.known, self.objects)


def edit_between(monkeypatch, moment, edit):
    """Make an edit just before or after the sequence numbers are read, or after the objects are."""
    numbers, rows, calls = EventSequence.objects.current, snapshot.read_rows, []
    edits = {moment: edit}

    def edit_at(now):
        # Once: an edit may read numbers itself.
        edits.pop(now, lambda: None)()

    def current(*args, **kwargs):
        edit_at("before")
        found = numbers(*args, **kwargs)
        edit_at("between")
        return found

    def read_rows(*args, **kwargs):
        found = rows(*args, **kwargs)
        calls.append(args)
        if len(calls) == 2:
            edit_at("after")
        return found

    monkeypatch.setattr(type(EventSequence.objects), "current", lambda _self, *args, **kwargs: current(*args, **kwargs))
    monkeypatch.setattr(snapshot, "read_rows", read_rows)


@pytest.mark.parametrize("moment", ["before", "between", "after"])
@pytest.mark.parametrize("order", ["snapshot first", "change first"])
@pytest.mark.parametrize("is_fanned_out", [True, False], ids=["fanned out at once", "fanned out later"])
def test_an_edit_at_any_moment_of_the_reading_wins(
    webhook, training_class, take, monkeypatch, moment, order, is_fanned_out
):
    training_class.cancel()
    number_events()

    def edit():
        one = TrainingClass.objects.get(pk=training_class.pk)
        one.name = "New"
        one.save()
        if is_fanned_out:
            number_events()

    edit_between(monkeypatch, moment, edit)
    take(webhook, "class")
    fan_out(timezone.now())
    events = [event for event in bodies(webhook) if not event["type"].startswith("webhook.")]
    events.sort(key=lambda event: (event["type"] == "class.snapshot") == (order == "change first"))

    receiver = Receiver()
    for event in events:
        receiver.take(event)

    assert [one["name"] for one in receiver.objects.values()] == ["New"]
    number = EventSequence.objects.get(subject_type="class").last
    (sent,) = [event for event in events if event["type"] == "class.snapshot"]
    assert sent["sequence"] == (number if moment == "before" and is_fanned_out else number - 1)


def test_an_object_that_is_deleted_after_it_was_read_stays_deleted(webhook, training_class, take):
    take(webhook, "class")
    training_class.delete()
    fan_out(timezone.now())
    events = bodies(webhook)

    receiver = Receiver()
    for event in [*events, events[0]]:
        receiver.take(event)

    assert ("class", events[0]["data"]["id"]) not in receiver.objects


# The feed


def feed_of(webhook, **values):
    organizations = type(webhook.organization).objects.filter(pk=webhook.organization_id)
    return feed.read(organizations, now=timezone.now() + timedelta(minutes=1), **values)


def test_the_feed_of_all_leaves_a_snapshot_out(webhook, training_class, take):
    training_class.cancel()

    take(webhook, "class")

    assert {event.type for event in feed_of(webhook).events} == {"class.scheduled", "class.cancelled"}
    assert not feed_of(webhook, types=["class.snapshot"]).events


def test_after_the_cursor_come_the_changes_since_the_start(webhook, training_class, clock, deliver):
    training_class.cancel()
    feed_of(webhook)
    job = start_job(JobKind.SNAPSHOT, webhook, nouns=["class"], now=clock.now)
    training_class.guarantee()
    while snapshot.work_on(job, now=clock.now):
        pass
    deliver(webhook)
    snapshot.work_on(job, now=clock.now)
    cursor = bodies(webhook)[-1]["details"]["cursor"]

    page = feed_of(webhook, after=cursor)

    assert [event.type for event in page.events] == ["class.guaranteed_to_run"]


def test_a_pull_only_webhook_gets_events_with_a_place_in_its_feed_and_no_deliveries(webhook, training_class, take):
    webhook.pull_only, webhook.url = True, ""
    webhook.save()

    job = take(webhook, "class")

    assert (job.done, Delivery.objects.count()) == (1, 0)
    feed.publish_all(timezone.now() + timedelta(minutes=1), seconds=PATIENCE)
    own = Event.objects.filter(webhook=webhook).filter(position__gt=0).order_by("position")
    assert [event.type for event in own] == ["class.snapshot", "webhook.snapshot_completed"]
    assert not {event.type for event in feed_of(webhook).events} & {"class.snapshot", "webhook.snapshot_completed"}
    shown = feed.read_webhook(webhook, now=timezone.now()).events
    assert [event.type for event in shown][-2:] == ["class.snapshot", "webhook.snapshot_completed"]


# Keeping and forgetting


# Explanations


def test_the_explanation_says_for_whom_an_event_was_made(webhook, training_class, take):
    other = WebhookFactory(organization=webhook.organization, events=["class.*"])
    take(webhook, "class")
    event = Event.objects.get(type="class.snapshot")

    own, others = explain(webhook, event), explain(other, event)

    assert (own.verdict, own.delivery) == (CheckResult.YES, event.deliveries.get())
    assert own.clauses[0].sentence == "A job created the event for this webhook."
    assert (others.verdict, others.clauses[0].sentence) == (
        CheckResult.NO,
        "A job created the event for another webhook.",
    )


def test_missed_events_of_another_webhook_do_not_include_a_snapshot(webhook, training_class, take):
    other = WebhookFactory(organization=webhook.organization, events=["class.*", "*"])
    take(webhook, "class")

    types = replay.affected(JobKind.REPLAY_MISSED, other, since=timezone.now() - timedelta(days=1), until=None)
    assert "class.snapshot" not in set(types.values_list("type", flat=True))


def test_an_ordered_webhook_gets_the_snapshot_of_an_object_before_its_later_changes(webhook, training_class, clock):
    webhook.ordered = True
    webhook.save()
    job = start_job(JobKind.SNAPSHOT, webhook, nouns=["class"], now=clock.now)
    snapshot.work_on(job, now=clock.now)

    delivery = Delivery.objects.get(event__type="class.snapshot")
    assert delivery.order_key == delivery.event.subject_key


def test_beside_other_events_a_snapshot_waits_after_each_object(webhook, clock, monkeypatch):
    first, *_others = TrainingClassFactory.create_batch(3, organization=webhook.organization)
    pauses = []
    monkeypatch.setattr(snapshot, "sleep", pauses.append)

    def pauses_of_a_snapshot(*, after):
        job = start_job(JobKind.SNAPSHOT, webhook, nouns=["class"], now=clock.now)
        pauses.clear()
        snapshot.work_on(job, now=Event.objects.filter(snapshot_job=0).latest("pk").occurred_at + after)
        job.finish(now=clock.now)
        return pauses

    first.cancel()

    assert pauses_of_a_snapshot(after=timedelta(seconds=0.9)) == [0.01] * 3
    # The events of the snapshot itself are no others.
    assert pauses_of_a_snapshot(after=timedelta(seconds=1.1)) == [0] * 3
