"""The page of a delivery shows each request as it was on the wire, whatever was changed since; and the next one as it will be."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from tests.factories import CREDENTIALS
from tests.integration.admin.pages import shown_at, text_of, url
from tests.integration.delivery.rows import subscribed, write, write_delivery
from tests.integration.delivery.wire import Wire, answer
from tests.integration.delivery.worker import Worker
from tms_webhooks.manage import secrets, webhooks
from tms_webhooks.models import Delivery, DeliveryAttempt, Event, Webhook
from tms_webhooks.models.credentials import to_text
from tms_webhooks.net.urls import MASK

OWN = "Authorization=Basic aHVudGVyMg==\nX-Team=north"
URL = "https://receiver.example.com/hook/{data.id}?team=hr&sig=t0k3n"
CLOUD = {"format": "cloudevents_binary"}


def page(delivery):
    return url(Delivery, "change", delivery.public_id)


def attempt_of(delivery, *, clock, wire):
    """Send a delivery that is due, or as soon as it is due."""
    delivery.refresh_from_db()
    clock.now = max(clock.now, delivery.due_at)
    Worker("alice", clock=clock, wire=wire).work()


def changed(webhook, **values):
    webhook.refresh_from_db()
    for name, value in values.items():
        setattr(webhook, name, value)
    webhooks.update(webhook, values, now=timezone.now())


def masked(request, private):
    """Return a request of the wire as the page shows it. ``private`` are its headers with secret values."""
    headers = {name: MASK if name in private else value for name, value in request.headers.items()}
    headers["webhook-signature"] = " ".join(MASK for _one in request.headers["webhook-signature"].split())
    url = request.url.replace("t0k3n", MASK).replace("n3w", MASK)
    return request.method, url, headers, request.body.decode()


CHANGES = {
    "nothing": ({}, {}),
    "address": ({"headers": OWN}, {"url": "https://other.example.com/in?key=n3w", "verb": "PUT", "headers": "X-New=1"}),
    "format": ({}, CLOUD),
    "format of the first attempt": (CLOUD, {"format": "standard", "headers": OWN}),
    "content": ({"format": "custom", "content": '{"id": {data.id}}'}, {"content": '{"other": {data.id}}'}),
    "detail": ({"url": f"{URL}&name={{data.name}}"}, {"payload": "thin"}),
    "authentication": (
        {"authentication": "basic", "credentials": to_text(CREDENTIALS["basic"])},
        {"authentication": "header", "credentials": to_text(CREDENTIALS["header"])},
    ),
    "signature of the body": ({"body_signature_header": "X-Hub-Signature-256"}, {"body_signature_header": ""}),
}
PRIVATE = {"Authorization", "authorization", "X-Team", "X-New", "X-Api-Key", "X-Hub-Signature-256"}


@pytest.mark.parametrize("before, after", CHANGES.values(), ids=CHANGES)
def test_each_attempt_is_shown_as_it_was_on_the_wire(operator, clock, before, after):
    wire, webhook = Wire(500, otherwise=500), subscribed(**{"url": URL, **before})
    delivery = write_delivery(webhook, now=clock.now)

    attempt_of(delivery, clock=clock, wire=wire)
    changed(webhook, **after)
    attempt_of(delivery, clock=clock, wire=wire)

    response = operator.get(page(delivery))
    shown = [row["request"] for row in reversed(response.context["attempts"])]
    assert [(one.method, one.url, one.headers, one.body) for one in shown] == [
        masked(request, PRIVATE) for request in wire.requests
    ]
    assert wire.requests[0].body == wire.requests[1].body
    _next = response.context["request_preview"]
    assert (_next.method, _next.body, _next.headers["tms-attempt"]) == (shown[1].method, shown[1].body, "3")
    markup = response.content.decode()
    for word in ("aHVudGVyMg", "hunter2", "north", *wire.requests[1].headers["webhook-signature"].split(" v1,")):
        assert word.removeprefix("v1,") not in markup


def test_a_secret_of_an_earlier_url_is_shown_to_nobody(operator, clock):
    webhook = subscribed(url=URL)
    delivery = write_delivery(webhook, now=clock.now)
    attempt_of(delivery, clock=clock, wire=Wire(500))

    changed(webhook, url="https://other.example.com/in")

    response = operator.get(page(delivery))
    assert "t0k3n" not in response.content.decode()
    text = text_of(response)
    assert f"POST https://receiver.example.com/hook/8840?team=hr&sig={MASK}" in text
    assert "What the next attempt sends The URL was changed after attempt 1. POST https://other.example.com/in" in text
    assert "names of the headers" not in text


def test_the_next_request_differs_where_the_webhook_was_changed(operator, clock):
    webhook = subscribed(headers=OWN)
    delivery = write_delivery(webhook, now=clock.now)
    attempt_of(delivery, clock=clock, wire=Wire(500))
    assert "was changed after" not in shown_at(operator, page(delivery))

    changed(webhook, verb="PUT", headers="X-New=1")

    text = shown_at(operator, page(delivery))
    assert "The method was changed after attempt 1." in text
    assert "The names of the headers were changed after attempt 1." in text
    assert "The URL was changed" not in text
    assert "webhook-timestamp: the time of the attempt" in text


def test_an_attempt_has_a_signature_for_each_secret_that_was_valid_then(operator, clock):
    wire, webhook = Wire(otherwise=500), subscribed()
    delivery = write_delivery(webhook, now=clock.now)
    attempt_of(delivery, clock=clock, wire=wire)
    secrets.rotate(webhook, now=clock.now, overlap=timedelta(hours=1))
    attempt_of(delivery, clock=clock, wire=wire)

    clock.advance(seconds=7_200)

    attempts = operator.get(page(delivery)).context["attempts"]
    assert [one["request"].headers["webhook-signature"] for one in attempts] == [f"{MASK} {MASK}", MASK]


def test_a_request_whose_payload_was_deleted_shows_what_does_not_come_from_it(operator, clock):
    webhook = subscribed(url=URL, headers=OWN, format="custom", content="Name: {data.name}")
    delivery = write_delivery(webhook, now=clock.now)
    attempt_of(delivery, clock=clock, wire=Wire())
    assert "content-type: text/plain" in shown_at(operator, page(delivery))

    Event.objects.filter(pk=delivery.event_id).update(body="")

    text = shown_at(operator, page(delivery))
    assert f"POST https://receiver.example.com/hook/{{data.id}}?team=hr&sig={MASK}" in text
    assert f"X-Team: {MASK} user-agent: tms-webhooks/" in text
    assert "The body was deleted since" in text
    assert "content-type:" not in text
    assert "Zoë" not in text


@pytest.mark.parametrize("error", ["dns_error", "token_error", "blocked_address"])
def test_an_attempt_that_ended_before_its_request_sent_nothing(operator, clock, error):
    delivery = write_delivery(subscribed(), now=clock.now)
    attempt_of(delivery, clock=clock, wire=Wire(error))

    response = operator.get(page(delivery))

    assert "POST https://receiver.example.com/hook Nothing was sent: the attempt failed before its request." in text_of(
        response
    )
    assert not response.context["attempts"][0]["request"].headers


def test_a_late_attempt_has_no_number_and_one_of_another_version_has_that_one(operator, clock):
    delivery = write_delivery(subscribed(), now=clock.now)
    attempt_of(delivery, clock=clock, wire=Wire())
    (attempt,) = DeliveryAttempt.objects.all()
    kept = attempt.request.replace("0.1.0", "0.0.9")

    write(attempt, number=None, request=kept)

    text = shown_at(operator, page(delivery))
    assert "user-agent: tms-webhooks/0.0.9" in text
    assert "tms-attempt: –" in text


def test_what_a_resend_would_send_is_shown_to_users_who_may_resend(operator, clock, staff):
    delivery = write_delivery(subscribed(), now=clock.now)
    attempt_of(delivery, clock=clock, wire=Wire())

    text = shown_at(operator, page(delivery))
    assert "What a resend would send" in text
    assert "What the next attempt sends" not in text
    text = shown_at(staff("view_delivery", "view_event"), page(delivery))
    assert "What a resend would send" not in text
    # The copied command is then that of the last attempt.
    assert "curl --globoff" in text


def test_the_body_is_on_the_page_once_however_many_attempts_sent_it(operator, clock):
    wire, delivery = Wire(otherwise=500), write_delivery(subscribed(), now=clock.now)
    for _number in range(3):
        attempt_of(delivery, clock=clock, wire=wire)

    text = shown_at(operator, page(delivery))

    assert text.count("Raw body") == 1
    # Of two attempts, and of the next one.
    assert text.count("The body is the same as above") == 3


def test_an_erased_request_is_no_longer_shown(operator, clock):
    delivery = write_delivery(subscribed(), now=clock.now)
    attempt_of(delivery, clock=clock, wire=Wire())

    write(DeliveryAttempt.objects.get(), request="")

    assert "Request It is no longer kept. What a resend would send" in shown_at(operator, page(delivery))


def test_an_attempt_keeps_neither_values_of_the_event_nor_secrets(clock):
    webhook = subscribed(
        url=URL, headers=OWN, authentication="bearer", credentials=to_text(CREDENTIALS["bearer"]), format="skillable"
    )
    Webhook.objects.filter(pk=webhook.pk).update(headers="X-Team=north")
    delivery = write_delivery(webhook, now=clock.now)
    attempt_of(delivery, clock=clock, wire=Wire(answer()))

    (attempt,) = DeliveryAttempt.objects.all()
    assert attempt.request.split("\n") == [
        "POST",
        f"https://receiver.example.com/hook/{{data.id}}?team=hr&sig={MASK}",
        "0.1.0",
        "1",
        "X-Team authorization  ",
        "skillable",
        "full",
    ]
    assert json.loads(delivery.event.body)["data"]["id"] == 8840


def test_tabs_lead_to_the_webhook_and_the_event(operator, clock):
    delivery = write_delivery(subscribed(), now=clock.now)

    markup = operator.get(page(delivery)).content.decode()

    tabs = markup[markup.index('<nav class="tms-tabs"') :].partition("</nav>")[0]
    assert f'href="{page(delivery)}" aria-current="page">Delivery</a>' in tabs
    assert f'href="{url(Webhook, "overview", delivery.webhook.public_id)}">Webhook</a>' in tabs
    assert f'href="{url(Event, "change", delivery.event.public_id)}">Event</a>' in tabs
