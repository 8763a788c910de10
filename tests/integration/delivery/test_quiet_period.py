"""A quiet period: updates of one object that come one after the other are sent as one request."""

import json
from datetime import timedelta
from itertools import pairwise
from unittest import mock

import pytest
from django.db import transaction

from tests import sweeps
from tests.factories import WebhookFactory
from tests.integration.delivery.rows import disable, distinct, fan_out_all
from tests.integration.delivery.updates import ChangingObject
from tests.integration.delivery.wire import Wire
from tests.integration.delivery.worker import Worker
from tms_webhooks.choices import JobKind, PayloadDetail, PayloadFormat, Priority
from tms_webhooks.delivery import replay
from tms_webhooks.exceptions import ReplayError
from tms_webhooks.manage import webhooks
from tms_webhooks.manage.deliveries import resend
from tms_webhooks.manage.jobs import count as count_job
from tms_webhooks.manage.jobs import start as start_job
from tms_webhooks.models import Delivery, DeliveryAttempt, DeliveryBody, Event, Subscription, Webhook
from tms_webhooks.outbox import erasure, fanout, quiet
from tms_webhooks.outbox.fanout import fan_out

QUIET, LONGEST = 60, 300
FIRST = '"id":4207'
"""The first instructor, as a body has it: the number alone may also be part of the id of an event."""


def quiet_webhook(pattern="user.updated", *, filters=None, longest=None, **values):
    """Make a webhook with one subscription, which has a quiet period."""
    webhook = WebhookFactory(**values)
    Subscription.objects.create(
        webhook=webhook,
        event_type=pattern,
        quiet_seconds=QUIET,
        quiet_longest_seconds=longest,
        filters=filters or {},
    )
    return webhook


@pytest.fixture
def webhook():
    return quiet_webhook()


@pytest.fixture
def wire():
    return Wire()


@pytest.fixture
def worker(clock, wire):
    return Worker("alice", clock=clock, wire=wire)


@pytest.fixture
def sent(clock, worker, wire):
    """Return the bodies that are sent after so many seconds: fan out, and deliver all that is due."""

    def sent(after=0):
        clock.advance(seconds=after)
        before = len(wire.requests)
        fan_out_all(clock.now)
        while worker.work():
            pass
        return [json.loads(request.body) for request in wire.requests[before:]]

    return sent


@pytest.fixture
def user(webhook):
    return ChangingObject(webhook.organization)


def statuses():
    return list(Delivery.objects.order_by("event_id").values_list("status", flat=True))


# The wait


def test_further_updates_restart_the_wait_and_make_one_request(clock, sent, user):
    user.update(city="Utrecht", phone="2")
    assert sent() == []
    clock.advance(seconds=QUIET - 1)
    newest = user.update(last_name="Jansen", city="Leiden")
    assert sent() == []
    assert sent(after=QUIET - 1) == []
    (body,) = sent(after=1)

    assert (body["id"], body["sequence"], body["data"]) == (newest.public_id, 2, json.loads(newest.body)["data"])
    # In the order of the fields, with the oldest values.
    assert body["changed"] == ["last_name", "phone", "city"]
    assert body["previous"] == {"last_name": "Larsen", "phone": "1", "city": "Amsterdam"}
    assert statuses() == ["merged", "delivered"]


def test_an_update_is_not_merged_into_one_that_is_due(clock, sent, user):
    user.update(city="Utrecht")
    fan_out(clock.now)
    clock.advance(seconds=QUIET)
    user.update(city="Leiden")
    first = sent()

    assert [body["data"]["city"] for body in (*first, *sent(after=QUIET))] == ["Utrecht", "Leiden"]


def test_the_delay_of_the_webhook_follows_the_quiet_period(sent):
    webhook = quiet_webhook(delay_seconds=30)
    user = ChangingObject(webhook.organization)
    user.update(city="Utrecht")
    sent()
    assert sent(after=QUIET + 29) == []
    # Within the delay the period is over: another update can't put the request off.
    user.update(city="Leiden")
    assert sent() == []

    assert [body["data"]["city"] for body in sent(after=1)] == ["Utrecht"]


# Which events


def test_each_object_and_each_type_has_a_period_of_its_own(sent):
    webhook = quiet_webhook("*")
    alice, bob = (ChangingObject(webhook.organization, key) for key in ("1", "2"))
    assignment = ChangingObject(webhook.organization, "1", noun="course_assignment")
    alice.update(city="Utrecht")
    bob.update(city="Leiden")
    a_class = ChangingObject(webhook.organization, "1", noun="class")
    a_class.update(phone="5")
    assignment.update("course_assignment.progressed", phone="6")
    assert sent() == []

    assert sorted(body["type"] for body in sent(after=QUIET)) == [
        "class.updated",
        "course_assignment.progressed",
        "user.updated",
        "user.updated",
    ]


def test_an_event_that_names_no_changes_is_sent_at_once(webhook, sent):
    ChangingObject(webhook.organization).happen("user.updated")

    assert len(sent()) == 1


def test_other_webhooks_get_each_update_at_once(webhook, sent, user):
    WebhookFactory(organization=webhook.organization, events=["user.*"])
    user.update(city="Utrecht")
    user.update(city="Leiden")

    assert [body["data"]["city"] for body in sent()] == ["Utrecht", "Leiden"]
    assert [body["previous"] for body in sent(after=QUIET)] == [{"city": "Amsterdam"}]


def test_the_longest_period_of_the_matching_subscriptions_decides(webhook, sent):
    for pattern, seconds in (("*", 0), ("user.*", 2 * QUIET)):
        Subscription.objects.create(webhook=webhook, event_type=pattern, quiet_seconds=seconds)
    ChangingObject(webhook.organization).update(city="Utrecht")
    sent()
    assert sent(after=2 * QUIET - 1) == []

    assert len(sent(after=1)) == 1


def test_a_subscription_whose_filter_does_not_match_delays_nothing(sent):
    webhook = quiet_webhook(filters={"actor_kind": ["import"]})
    Subscription.objects.create(webhook=webhook, event_type="user.*")
    ChangingObject(webhook.organization).update(city="Utrecht")

    assert len(sent()) == 1


def test_a_filter_is_applied_to_each_event_on_its_own(webhook, sent, user):
    webhook.subscriptions.update(condition={"not": {"data.city": "Leiden"}})
    for city in ("Utrecht", "Leiden", "Delft"):
        user.update(city=city)
    sent()
    (body,) = sent(after=QUIET)

    assert (body["data"]["city"], body["previous"]) == ("Delft", {"city": "Amsterdam"})
    assert Delivery.objects.count() == 2


# Changes that are undone


def test_nothing_is_sent_if_all_changes_are_undone(sent, user):
    user.update(city="Utrecht")
    sent()
    user.update(city="Amsterdam")
    sent()

    assert sent(after=10 * QUIET) == []
    assert statuses() == ["merged", "merged"]
    assert not DeliveryBody.objects.exists()
    user.update(city="Leiden")
    sent()
    assert [body["previous"] for body in sent(after=QUIET)] == [{"city": "Amsterdam"}]


# Order


def test_an_update_that_is_fanned_out_late_keeps_the_oldest_values(clock, sent, user):
    events = [user.new_event("user.updated", changed=["city"], previous={"city": "Amsterdam"})]
    for before, city in (("Utrecht", "Leiden"), ("Leiden", "Delft"), ("Delft", "Breda")):
        user.values["city"] = city
        events.append(user.new_event("user.updated", changed=["city"], previous={"city": before}))
    Event.objects.bulk_create(events)
    late = [event.pk for event in (events[0], events[2])]
    # Another worker takes the first and the third event, and is slow.
    Event.objects.filter(pk__in=late).update(fanned_out_at=clock.now)
    sent()
    Event.objects.filter(pk__in=late).update(fanned_out_at=None)
    sent(after=1)
    (body,) = sent(after=QUIET)

    assert (body["id"], body["data"]["city"], body["previous"]) == (
        events[-1].public_id,
        "Breda",
        {"city": "Amsterdam"},
    )
    assert statuses() == ["merged", "merged", "merged", "delivered"]


# Crashes and crowds


def test_a_crash_in_the_middle_loses_nothing(clock, sent, monkeypatch, user):
    user.update(city="Utrecht")
    sent()
    user.update(phone="2")
    with monkeypatch.context() as patch:
        patch.setattr(quiet, "write", mock.Mock(side_effect=SystemExit))
        with pytest.raises(SystemExit), transaction.atomic():
            fan_out(clock.now)
    assert (statuses(), Event.objects.to_fan_out().count()) == (["pending"], 1)

    assert sent() == []
    assert [body["changed"] for body in sent(after=QUIET)] == [["phone", "city"]]


def _updated(user, city):
    previous = {"city": user.values["city"]}
    user.values["city"] = city
    return user.new_event("user.updated", changed=["city"], previous=previous)


def test_the_fan_out_takes_as_many_statements_for_many_objects_as_for_few(
    clock, webhook, monkeypatch, django_assert_max_num_queries
):
    monkeypatch.setattr(fanout, "_check_schemas", lambda groups: None)
    for count in (1, 100):
        users = [ChangingObject(webhook.organization, f"{count}-{number}") for number in range(count)]
        for city in ("Utrecht", "Leiden"):
            Event.objects.bulk_create([_updated(user, city) for user in users])
            with django_assert_max_num_queries(26):
                fan_out(clock.now)


# The log


@pytest.fixture
def merged(clock, webhook, sent):
    """Two deliveries: one that is merged, and the one that carries it and waits."""
    user = ChangingObject(webhook.organization)
    user.update(city="Utrecht")
    user.update(phone="2")
    assert sent() == []
    return list(Delivery.objects.order_by("pk"))


def test_a_merged_delivery_names_the_one_that_carries_it(clock, merged):
    first, carrier = merged

    assert (first.status, first.carrier, carrier.carrier) == ("merged", carrier, None)
    assert (first.due_at, first.finished_at, carrier.due_at) == (None, clock.now, clock.now + timedelta(seconds=QUIET))


def test_a_merged_delivery_is_not_sent_again(clock, webhook, merged, sent):
    first, carrier = merged
    sent(after=QUIET)

    with pytest.raises(ReplayError, match=f"merged into delivery {carrier.public_id}; send that one again"):
        resend(first, now=clock.now)
    assert not replay.undelivered(webhook).exists()
    for kind in (JobKind.RECOVER, JobKind.REPLAY_MISSED):
        since = clock.now - timedelta(days=1)
        assert count_job(kind, webhook, now=clock.now, since=since) == 0


def test_a_retry_and_a_resend_send_the_merged_bytes(clock, webhook, merged, wire, sent):
    wire.answers = [500]
    sent(after=QUIET)
    Webhook.objects.update(format=PayloadFormat.SKILLABLE)
    clock.advance(hours=1)
    sent()
    carrier = Delivery.objects.get(pk=merged[1].pk)
    resend(carrier, now=clock.now)
    sent()

    first, second, third = (request.body for request in wire.requests)
    assert first == second == third
    assert json.loads(first)["changed"] == ["phone", "city"]


@pytest.mark.parametrize(
    "fields, find, expected",
    [
        (
            {"format": PayloadFormat.CLOUDEVENTS},
            lambda body: body["data"]["previous"],
            {"phone": "1", "city": "Amsterdam"},
        ),
        ({"payload": PayloadDetail.NO_PERSONAL}, lambda body: body["previous"], {}),
        ({"format": PayloadFormat.CUSTOM, "content": "{changed}"}, list, ["phone", "city"]),
    ],
)
def test_the_format_and_the_detail_of_the_webhook_apply_to_the_merged_event(merged, sent, fields, find, expected):
    Webhook.objects.update(**fields)
    (body,) = sent(after=QUIET)

    assert find(body) == expected


def test_a_disabled_webhook_keeps_the_merged_event(clock, webhook, merged, sent):
    disable(webhook, clock.now)
    sweeps.settle(clock.now)
    webhooks.enable(webhook, now=clock.now)
    job = start_job(JobKind.REPLAY_MISSED, webhook, now=clock.advance(seconds=1))
    while replay.work_on(job, now=clock.now):
        job.refresh_from_db()
    (body,) = sent()

    assert body["changed"] == ["phone", "city"]
    assert Delivery.objects.get(status="delivered").priority == Priority.REPLAY


@pytest.fixture
def instructors(webhook, sent):
    """A class whose instructor changed from 4207 to 1 and from 1 to 2. One delivery is merged into the other."""
    room = ChangingObject(webhook.organization, "7", noun="class")
    webhook.subscriptions.update(event_type="class.updated")
    people = [{"id": key, "first_name": "Ann"} for key in (4207, 1, 2)]
    for before, after in pairwise(people):
        room.values["instructor"] = after
        changed = ["instructor.id", "instructor.first_name"]
        room.happen("class.updated", changed=changed, previous={"instructor": before})
    sent()
    assert DeliveryBody.objects.get().merged.count(FIRST) == 1


def test_erasing_a_person_erases_what_was_merged(clock, instructors, sent):
    erased = erasure.erase(4207, now=clock.now)

    assert (erased.events, erased.in_flight) == (1, 0)
    assert not DeliveryBody.objects.filter(merged__contains=FIRST).exists()
    assert [body["previous"]["instructor"]["id"] for body in sent(after=QUIET)] == [1]


def test_erasing_waits_for_the_request_that_carries_a_merged_event(clock, instructors, worker):
    clock.advance(seconds=QUIET)
    (request,) = worker.claim()

    erased = erasure.erase(4207, now=clock.now)
    assert (erased.events, erased.in_flight) == (0, 1)
    worker.write(worker.send(request))
    assert FIRST in worker.wire.requests[-1].body.decode()
    assert DeliveryAttempt.objects.exclude(request="").exists()
    erased = erasure.erase(4207, now=clock.now)

    assert (erased.events, erased.in_flight) == (1, 0)
    assert not DeliveryBody.objects.exists()
    # The body can't be shown again, and the answer may repeat it.
    assert distinct(DeliveryAttempt, "request", "response_body", "message") == {("", "", "")}
