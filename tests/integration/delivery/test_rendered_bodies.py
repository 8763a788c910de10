"""A body is made once and sent with every attempt; what can't be made fails alone."""

import json

import pytest
from cryptography.fernet import Fernet
from django.db import DataError, connection
from django.test.utils import CaptureQueriesContext

from tests.integration.delivery.rows import body_of, stored, subscribed, write_event, write_events
from tms_webhooks import catalogue
from tms_webhooks.choices import PayloadFormat, Priority
from tms_webhooks.delivery import rendering
from tms_webhooks.delivery.rendering import with_contents
from tms_webhooks.manage.deliveries import resend
from tms_webhooks.models import Delivery, DeliveryAttempt, DeliveryBody, Webhook
from tms_webhooks.models.encryption import Sealed
from tms_webhooks.outbox.fanout import fan_out
from tms_webhooks.routing.budget import TimeSpent
from tms_webhooks.worker.leases import Quota, WebhookRow, due_within
from tms_webhooks.worker.send import make_requests

CUSTOM = PayloadFormat.CUSTOM


def large_body(size=3_000):
    event = catalogue.get("enrollment.enrolled").example()
    event["data"]["user"]["last_name"] = "x" * size
    return json.dumps(event)


# The same bytes


OWN_CONTENT = {"format": CUSTOM, "content": "a {type}", "headers": "Content-Type=text/csv"}


@pytest.mark.parametrize(
    "fields, changed",
    [
        (OWN_CONTENT, {"format": PayloadFormat.SKILLABLE, "content": "b", "headers": ""}),
        (OWN_CONTENT, {"format": PayloadFormat.STANDARD}),
        ({}, {"format": PayloadFormat.SKILLABLE}),
        ({}, {"payload": "thin"}),
    ],
)
def test_a_retry_sends_the_same_bytes_whatever_the_webhook_says_by_then(run, wire, clock, fields, changed):
    subscribed(**fields, happened=1)
    wire.answers = [500]
    run()
    Webhook.objects.update(**changed)

    clock.advance(minutes=1)
    run()

    sent = [(request.body, request.headers["content-type"]) for request in wire.requests]
    own_body = body_of("class.cancelled").encode(), "application/json"
    assert sent == [(b"a class.cancelled", "text/csv") if fields else own_body] * 2
    assert DeliveryBody.objects.exists() is bool(fields)


def test_a_format_that_changed_counts_for_what_was_not_tried(run, wire, clock):
    subscribed(delay_seconds=60, happened=1)
    run()
    Webhook.objects.update(format=CUSTOM, content="a {{type}} is {type}")

    clock.advance(minutes=2)
    run()

    assert [request.body for request in wire.requests] == [b"a {type} is class.cancelled"]


def test_what_is_resent_has_the_same_bytes_and_todays_url(run, wire, clock):
    subscribed("/old/{type}", format=CUSTOM, content="a {data.id}", happened=1)
    run()
    Webhook.objects.update(content="b", url="https://receiver.example.com/new/{data.id}?{ConfirmationStatusId}")

    resend(Delivery.objects.select_related("webhook", "event").get(), now=clock.now)
    run()

    assert [request.body for request in wire.requests] == [b"a 8840"] * 2
    assert [request.url for request in wire.requests] == [
        "https://receiver.example.com/old/class.cancelled",
        "https://receiver.example.com/new/8840?2",
    ]


# What can't be rendered


def test_what_can_not_be_rendered_fails_for_good_and_leaves_its_neighbors_alone(run, wire):
    broken = subscribed("/broken", format=PayloadFormat.SKILLABLE)
    write_event(broken.organization, body='{"data":{"first_name":"hunter2"}}')
    write_event(broken.organization)
    other = subscribed("/other", happened=1)

    run()

    first, second = broken.deliveries.order_by("pk")
    assert (first.status, first.error_class) == ("failed", "render_failed")
    assert (second.status, other.deliveries.get().status) == ("delivered", "delivered")
    assert len(wire.requests) == 2
    attempt = DeliveryAttempt.objects.get(delivery=first)
    assert attempt.message == "the body can't be rendered: KeyError"
    assert stored(broken, "state__failures", "enabled") == (0, True)


def test_our_own_words_tell_why_it_can_not_be_rendered(run):
    webhook = subscribed(payload="thin")
    event = json.loads(body_of("class.cancelled"))
    write_event(webhook.organization, body=json.dumps({**event, "type": "class.forgotten"}))

    run()

    assert DeliveryAttempt.objects.get().message.startswith(
        'the body can\'t be rendered: Unknown event type "class.forgotten"'
    )


def test_a_body_that_the_database_refuses_fails_alone(run, wire, monkeypatch, clock, caplog):
    webhook = subscribed(format=CUSTOM, content="{data.id}")
    event = json.loads(body_of("class.cancelled"))
    for pk in (1, 2, 3):
        event["data"]["id"] = pk
        write_event(webhook.organization, body=json.dumps(event))
    store = rendering.insert_or_update

    def refuse(manager, rows, **options):
        if any(row.body == "2" for row in rows):
            raise DataError("not 'hunter2'")
        store(manager, rows, **options)

    with monkeypatch.context() as patch:
        patch.setattr(rendering, "insert_or_update", refuse)
        run()

    statuses = list(webhook.deliveries.order_by("pk").values_list("status", "error_class"))
    assert statuses == [("delivered", ""), ("failed", "render_failed"), ("delivered", "")]
    assert sorted(request.body for request in wire.requests) == [b"1", b"3"]
    assert "hunter2" not in caplog.text

    resend(webhook.deliveries.select_related("webhook", "event").get(status="failed"), now=clock.now)
    run()

    assert wire.requests[-1].body == b"2"


# Too large


@pytest.mark.parametrize("format_", [PayloadFormat.STANDARD, PayloadFormat.CLOUDEVENTS])
def test_a_body_over_the_limit_is_sent_in_its_thin_form(settings_of_app, run, wire, clock, format_):
    settings_of_app(BODY_LIMIT_BYTES=2_000)
    webhook = subscribed(format=format_)
    write_event(webhook.organization, body=large_body())
    wire.answers = [500]

    run()
    clock.advance(minutes=1)
    run()

    first, second = wire.requests
    event = json.loads(first.body)
    event = event if format_ == PayloadFormat.STANDARD else event["data"]
    assert event["truncated"] is True
    assert event["data"]["user"] == {"id": 5012, "external_id": "E-20417"}
    assert second.body == first.body
    assert webhook.deliveries.get().status == "delivered"


@pytest.mark.parametrize("fields", [{}, {"format": CUSTOM, "content": "x" * 1_100}])
def test_one_that_is_too_large_even_so_fails_for_good(settings_of_app, run, wire, fields):
    settings_of_app(BODY_LIMIT_BYTES=1_024)
    event = json.loads(large_body())
    event["data"]["user"]["external_id"] = "y" * 1_024
    webhook = subscribed(**fields)
    write_event(webhook.organization, body=json.dumps(event))

    run()

    assert wire.requests == []
    delivery = webhook.deliveries.get()
    assert (delivery.status, delivery.error_class) == ("failed", "body_too_large")


# What it costs


@pytest.mark.parametrize(
    "webhooks, number",
    [
        ([{}, {}], 1),
        ([{}, {"path": "/{type}"}], 2),
        ([{"format": PayloadFormat.SKILLABLE}, {"payload": "thin"}, {}], 3),
    ],
    ids=["as they are", "with URLs that are filled in", "rendered"],
)
def test_packing_takes_as_many_statements_however_many_events(clock, webhooks, number):
    made = [subscribed(**values) for values in webhooks]
    for webhook in made:
        write_events(webhook.organization, 20)
    fan_out(clock.now)
    quotas = [Quota(webhook.pk, Priority.LIVE, 100, False, (), None) for webhook in made]
    known = {webhook.pk: WebhookRow(webhook, []) for webhook in Webhook.objects.all()}

    with CaptureQueriesContext(connection) as queries:
        requests = make_requests(due_within(quotas, now=clock.now), webhooks=known)
        unrendered = [request for request in requests if request.unrendered is not None]
        rendered = with_contents(unrendered, TimeSpent()) if unrendered else []

    assert len(requests) == 20 * len(made)
    assert len(rendered) == len(unrendered)
    statements = [query["sql"] for query in queries]
    assert len([sql for sql in statements if not sql.startswith(("SAVEPOINT", "RELEASE"))]) == number
    assert DeliveryBody.objects.count() == (40 if number == 3 else 0)


@pytest.mark.parametrize(
    "url, format_",
    [
        ("https://{data.name}/hook", PayloadFormat.STANDARD),
        ("https://{data.name}/hook", CUSTOM),
        ("https://receiver.example.com/{data.name}/x", PayloadFormat.SKILLABLE),
    ],
)
def test_no_value_chooses_the_host_or_leads_up_the_path(run, wire, url, format_):
    webhook = subscribed(format=format_, content="x")
    Webhook.objects.update(url=url)
    write_event(webhook.organization, body=body_of("class.cancelled").replace("Zoë's class", ".."))

    run()

    assert wire.requests == []
    assert webhook.deliveries.get().error_class == "invalid_url"


def test_where_the_headers_can_not_be_read_the_body_is_made_once_they_can(run, wire, clock):
    webhook = subscribed(format=CUSTOM, content="a {type}", headers="Content-Type=text/csv")
    good = webhook.headers
    write_event(webhook.organization)
    Webhook.objects.update(headers=Sealed(Fernet(Fernet.generate_key()).encrypt(b"x").decode()))
    run()
    assert Delivery.objects.get().error_class == "secret_unreadable"
    Webhook.objects.update(headers=good)

    resend(Delivery.objects.select_related("webhook", "event").get(), now=clock.now)
    run()

    (request,) = wire.requests
    assert (request.body, request.headers["content-type"]) == (b"a class.cancelled", "text/csv")


def test_a_flat_one_and_a_custom_one_over_the_limit_say_so_too(settings_of_app, run, wire):
    settings_of_app(BODY_LIMIT_BYTES=2_000)
    flat = subscribed("/flat", format=PayloadFormat.SKILLABLE)
    write_event(flat.organization, body=large_body())
    own = subscribed("/own", format=CUSTOM, content="of {UserId} {UserLastName} {truncated}")
    write_event(own.organization, body=large_body())

    run()

    (request,) = wire.to("/flat")
    assert json.loads(request.body)["Truncated"] is True
    (request,) = wire.to("/own")
    assert request.body == b"of 5012  true"
