"""The page of an event: to whom it was sent, and to whom it may be shown."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from tests.integration.admin.pages import shown_at, url
from tests.integration.delivery.rows import subscribed, write_delivery, write_event
from tms_webhooks.admin import events
from tms_webhooks.choices import Action
from tms_webhooks.models import Delivery, Event, Webhook

pytestmark = pytest.mark.django_db


def page(event: Event) -> str:
    return url(Event, "change", event.public_id)


def listed(client: Client, **query: object) -> list[Event]:
    return list(client.get(url(Event, "changelist"), query).context["cl"].result_list)


def test_it_shows_to_whom_it_was_sent(operator):
    webhook = subscribed(name="CRM")
    delivery = write_delivery(webhook, now=timezone.now(), attempts=2)

    response = operator.get(page(delivery.event))

    assert re.search(r"CRM Pending due [0-9:]+ 2 attempts", shown_at(operator, page(delivery.event)))
    assert url(Delivery, "change", delivery.public_id) in response.content.decode()


def test_it_says_why_it_was_not_sent(operator, monkeypatch):
    webhook = subscribed(name="CRM")
    event = write_delivery(webhook, now=timezone.now()).event
    subscribed(name="HR", organization=webhook.organization, events=["voucher.*"])
    Webhook.objects.update(created_at=event.fanned_out_at)
    assert "Not sent HR voucher.* does not include this event type." in shown_at(operator, page(event))
    monkeypatch.setattr(events, "MAX_EXPLAINED", 0)

    assert "Not sent HR All checks" in shown_at(operator, page(event))


def test_of_a_disabled_webhook_the_event_of_a_snapshot_says_why_it_was_not_sent(operator, monkeypatch):
    webhook = subscribed(name="CRM")
    subscribed(name="A webhook before it", organization=webhook.organization)
    event = write_event(webhook.organization, "class.snapshot")
    Event.objects.update(fanned_out_at=timezone.now(), webhook=webhook)
    Webhook.objects.filter(pk=webhook.pk).update(enabled=False, disabled_reason="gone")
    monkeypatch.setattr(events, "MAX_EXPLAINED", 1)

    text = shown_at(operator, page(event))

    assert "Not sent CRM The webhook is disabled. The receiver answered 410 Gone" in text
    assert "A webhook before it" not in text


def test_an_event_without_deliveries_says_so(operator):
    new, done = write_event(OrganizationFactory()), write_event(OrganizationFactory())
    Event.objects.filter(pk=done.pk).update(fanned_out_at=timezone.now(), error="no such field")

    assert "The event waits for a worker." in shown_at(operator, page(new))
    text = shown_at(operator, page(done))
    assert "None of your webhooks has a delivery of this event." in text
    assert "The payload could not be built: no such field" in text


def test_it_is_found_by_the_external_id(operator):
    event = write_event(OrganizationFactory())
    Event.objects.filter(pk=event.pk).update(external_id="ENR-1")
    write_event(OrganizationFactory())

    assert listed(operator, q="ENR-1") == [event]


def test_an_event_of_our_learners_elsewhere_is_ours_to_see_and_its_deliveries_elsewhere_are_not(alice):
    theirs = subscribed(name="theirs")
    delivery = write_delivery(theirs, now=timezone.now())
    ours = subscribed(name="ours", organization=alice.organization)
    Delivery.objects.create(event=delivery.event, webhook=ours, due_at=timezone.now(), created_at=timezone.now())
    assert alice.get(page(delivery.event)).status_code == 302
    Event.objects.filter(pk=delivery.event_id).update(learner_organization=alice.organization)

    assert listed(alice) == [delivery.event]
    text = shown_at(alice, page(delivery.event))
    assert "ours Pending" in text
    assert "theirs" not in text


def test_payloads_are_for_those_whom_the_policy_lets_see_them(operator, deny):
    event = write_event(OrganizationFactory())
    assert "Zoë" in shown_at(operator, page(event))
    deny(Action.VIEW_PAYLOAD)

    assert "Zoë" not in shown_at(operator, page(event))


def test_deliveries_need_the_permission_to_view_the_log(staff):
    delivery = write_delivery(subscribed(name="CRM"), now=timezone.now())

    assert "Deliveries" not in shown_at(staff("view_event"), page(delivery.event))
