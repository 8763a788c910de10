"""Which webhooks get a delivery of an event."""

import logging
from datetime import timedelta

import pytest

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tests.integration.delivery.rows import body_of, distinct, stored, subscribed, write, write_event
from tms_webhooks.models import Delivery, Event, Subscription
from tms_webhooks.outbox import fanout
from tms_webhooks.outbox.fanout import FanOutPlan, fan_out


@pytest.mark.parametrize(
    "patterns, deliveries",
    [
        (["class.cancelled"], 1),
        (["class.*"], 1),
        (["*"], 1),
        (["*", "class.*", "class.cancelled", "class.cancelled"], 1),
        *(
            ([pattern], 0)
            for pattern in ("class.completed", "enrollment.*", "cla.*", "class", "cancelled", "class.%", "%")
        ),
        ([], 0),
    ],
)
def test_a_webhook_gets_the_events_that_it_subscribes_to_once(clock, patterns, deliveries):
    webhook = WebhookFactory(events=patterns)
    write_event(webhook.organization, "class.cancelled")

    fan_out(clock.now)

    assert webhook.deliveries.count() == deliveries


def test_every_webhook_of_the_organization_gets_its_own(clock):
    first = subscribed()
    second = subscribed(organization=first.organization)
    event = write_event(first.organization)
    write_event(OrganizationFactory())

    assert [fan_out(clock.now), fan_out(clock.now)] == [2, 0]

    assert distinct(Delivery, "event_id", "webhook_id") == {(event.pk, first.pk), (event.pk, second.pk)}


def test_a_new_delivery_is_pending_due_at_once_and_untried(clock):
    webhook = subscribed()
    event = write_event(webhook.organization)

    fan_out(clock.now)

    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.due_at, delivery.finished_at) == ("pending", clock.now, None)
    assert (delivery.created_at, delivery.attempts, delivery.charged) == (clock.now, 0, 0)
    assert stored(event, "fanned_out_at") == clock.now


def test_a_webhook_that_subscribes_later_does_not_get_earlier_events(clock):
    organization = OrganizationFactory()
    write_event(organization)
    fan_out(clock.now)

    subscribed(organization=organization)

    assert fan_out(clock.now) == 0
    assert not Delivery.objects.exists()


@pytest.mark.parametrize("enabled", [True, False])
def test_a_deleted_webhook_gets_nothing(clock, enabled):
    subscribed(deleted_at=clock.now, enabled=enabled, happened=1)

    assert fan_out(clock.now) == 1

    assert not Delivery.objects.exists()


def test_an_event_for_one_subscription_goes_to_its_webhook_alone(clock):
    first = subscribed(events=["course_assignment.expiring", "*"])
    subscribed(organization=first.organization)
    target = first.subscriptions.get(event_type="course_assignment.expiring")
    write_event(first.organization, "course_assignment.expiring", subscription=target)

    fan_out(clock.now)

    assert Delivery.objects.get().webhook == first


def test_an_event_whose_subscription_now_wants_something_else_goes_nowhere(clock):
    webhook = subscribed(events=["course_assignment.expiring"])
    target = webhook.subscriptions.get()
    write_event(webhook.organization, "course_assignment.expiring", subscription=target)
    Subscription.objects.filter(pk=target.pk).update(event_type="class.*")

    assert fan_out(clock.now) == 1

    assert not Delivery.objects.exists()


def test_an_event_that_could_not_be_built_is_not_sent(clock):
    event = write_event(subscribed().organization, body="")
    Event.objects.update(error="ValueError: start_at is naive")

    assert fan_out(clock.now) == 1

    event.refresh_from_db()
    assert (event.fanned_out_at, Delivery.objects.count()) == (clock.now, 0)


def test_an_event_that_breaks_its_schema_is_logged_and_sent_as_it_is(settings_of_app, monkeypatch, caplog, wire, run):
    monkeypatch.setattr(fanout, "_next_schema_check", {})
    settings_of_app(STRICT_PAYLOADS=False)
    webhook = subscribed()
    body = body_of("class.cancelled").replace('"Cancelled"', "[]")
    event = write_event(webhook.organization, body=body)

    with caplog.at_level(logging.ERROR, "tms_webhooks"):
        run()

    assert [request.body for request in wire.requests] == [body.encode()]
    (record,) = caplog.records
    assert f"Event {event.pk} breaks the schema of its type and is sent anyway" in record.getMessage()


@pytest.mark.parametrize("body", ["not JSON", "[]", "null", '{"id":'])
def test_a_body_that_is_no_event_at_all_does_not_stop_the_others(wire, run, body):
    webhook = subscribed()
    write_event(webhook.organization, "class.completed", body=body)
    write_event(webhook.organization, "class.cancelled")

    run()

    assert {request.body for request in wire.requests} == {body.encode(), body_of("class.cancelled").encode()}


def test_delay_seconds_hold_the_first_attempt_back(clock, wire, run):
    slow = subscribed("/slow", delay_seconds=90)
    prompt = subscribed("/prompt", organization=slow.organization)
    write_event(slow.organization)

    run()
    assert Delivery.objects.get(webhook=slow).due_at == clock.now + timedelta(seconds=90)
    assert (len(wire.to("/slow")), len(wire.to("/prompt"))) == (0, 1)

    clock.advance(seconds=89)
    run()
    assert len(wire.to("/slow")) == 0

    clock.advance(seconds=1)
    run()
    assert (len(wire.to("/slow")), len(wire.to("/prompt"))) == (1, 1)
    assert distinct(prompt.deliveries, "status") == {"delivered"}


@pytest.mark.parametrize("before, after", [(0, 30), (30, 0), (30, 60), (60, 30)])
def test_a_webhook_whose_delay_is_changed_meanwhile_is_not_left_out(clock, monkeypatch, before, after):
    webhook = subscribed(delay_seconds=before, happened=1)
    plan = FanOutPlan.of_today()
    write(webhook, delay_seconds=after)
    monkeypatch.setattr(FanOutPlan, "of_today", lambda: plan)

    fan_out(clock.now)

    assert Delivery.objects.filter(webhook=webhook).count() == 1
