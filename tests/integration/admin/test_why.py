"""Why was this not sent? Asked of any event and any webhook of one's own, and of no other."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from tests.integration.admin.pages import shown_at, text_of, url
from tests.integration.delivery.rows import subscribed, write_delivery, write_event
from tms_webhooks.models import Delivery, Event, Webhook

pytestmark = pytest.mark.django_db


def why(webhook: Webhook) -> str:
    return reverse("admin:tms_webhooks_webhook_why", args=[webhook.pk])


def told(client: Client, webhook: Webhook, event: Event) -> str:
    return shown_at(client, why(webhook), {"event": event.public_id})


def test_an_event_that_nobody_subscribed_to_says_so(operator):
    webhook = subscribed(events=["user.*"])
    event = write_event(webhook.organization, "class.cancelled")

    text = told(operator, webhook, event)

    assert "It was not given to this webhook, and would not be today." in text
    assert "No user.* does not include this event type." in text
    assert "Yes The webhook is enabled." in text


def test_a_disabled_webhook_keeps_its_events(operator):
    webhook = subscribed(enabled=False)
    event = write_event(webhook.organization)

    text = told(operator, webhook, event)

    assert "It would be kept for this webhook, and not sent by itself." in text
    assert "Held back The webhook is disabled" in text


def test_one_that_was_sent_leads_to_its_delivery(operator):
    delivery = write_delivery(subscribed(), now=timezone.now())

    response = operator.get(why(delivery.webhook), {"event": delivery.event.public_id})

    assert "It was given to this webhook. Its delivery is: Pending." in text_of(response)
    assert url(Delivery, "change", delivery.pk) in response.content.decode()


def test_nothing_stands_against_what_came_later(operator):
    webhook = subscribed()

    assert "a replay of what was missed sends it." in told(operator, webhook, write_event(webhook.organization))


@pytest.mark.parametrize(
    ("term", "answer"),
    [
        ("", "This field is required."),
        ("enrollment:42", "This is no event's id."),
        ("evt_" + "0" * 32, "There is no such event among those of your organizations."),
        ("x" * 200, "Ensure this value has at most 80 characters"),
    ],
)
def test_what_is_no_event_is_told_beside_the_field(operator, term, answer):
    response = operator.get(why(subscribed()), {"event": term})

    assert answer in text_of(response)
    assert f'value="{term}"' in response.content.decode() or not term


def test_events_and_webhooks_of_others_are_as_if_they_were_not(alice):
    ours, theirs = subscribed(organization=alice.organization), subscribed()
    event = write_event(theirs.organization)

    assert "There is no such event among those of your organizations." in told(alice, ours, event)
    assert alice.get(why(theirs), {"event": event.public_id}).status_code == 404


def test_an_event_leads_to_the_question_for_each_webhook_that_did_not_get_it(alice):
    ours = subscribed(organization=alice.organization, name="CRM")
    sent = write_delivery(subscribed(organization=alice.organization, name="HR"), now=timezone.now())
    subscribed(name="theirs")

    response = alice.get(url(Event, "change", sent.event_id))

    assert "Not sent to Why was it not sent to CRM?" in text_of(response)
    assert f"{why(ours)}?event={sent.event.public_id}" in response.content.decode()
    assert why(sent.webhook) not in response.content.decode()
    assert "theirs" not in response.content.decode()


def test_it_takes_the_permission_to_see_events(staff):
    webhook = subscribed()

    assert staff("view_webhook").get(why(webhook)).status_code == 403


def test_it_takes_as_many_queries_for_many_deliveries_as_for_few(operator):
    delivery = write_delivery(subscribed(), now=timezone.now())

    def queries(number: int) -> int:
        for _ in range(number):
            write_delivery(delivery.webhook, now=timezone.now())
        with CaptureQueriesContext(connection) as captured:
            told(operator, delivery.webhook, delivery.event)
        return len(captured)

    queries(1)

    assert queries(0) == queries(20) <= 15
