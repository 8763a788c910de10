"""What the app tells of a webhook goes to the organization's other webhooks that ask for it, never to itself."""

import contextlib
import json
from datetime import timedelta
from importlib import import_module

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from tests.integration.delivery.rows import disable, distinct, stored, subscribed, write, write_event
from tms_webhooks import catalogue, signals
from tms_webhooks.manage import webhooks
from tms_webhooks.manage.secrets import rotate
from tms_webhooks.models import Delivery, Event, Webhook
from tms_webhooks.outbox.emit import WEBHOOK_EVENTS
from tms_webhooks.outbox.fanout import fan_out


@pytest.fixture
def requests_at(wire, run):
    """Run a drain; return the operational events that came to this webhook's path."""

    def requests_at(path):
        run()
        bodies = [json.loads(request.body) for request in wire.to(path)]
        return [body for body in bodies if body["type"].startswith("webhook.")]

    return requests_at


def watcher(webhook, path, *events, **fields):
    """Make another webhook of the same organization that asks for these events."""
    return subscribed(path, organization=webhook.organization, events=list(events), **fields)


@pytest.mark.parametrize(
    "events, expected",
    [
        (["webhook.*"], ["webhook.disabled"]),
        (["webhook.disabled"], ["webhook.disabled"]),
        (["webhook.disabled", "webhook.*", "*"], ["webhook.disabled"]),
        (["webhook.failing", "webhook.recovered"], []),
        (["*"], []),
        (["class.*"], []),
    ],
)
def test_another_webhook_that_subscribes_by_name_or_noun_gets_the_event(clock, requests_at, events, expected):
    webhook = subscribed()
    watcher(webhook, "/watcher", *events)

    disable(webhook, clock.now)

    assert [event["type"] for event in requests_at("/watcher")] == expected


def test_a_webhook_never_gets_an_event_about_itself(clock, requests_at, run):
    webhook = subscribed("/self", events=["webhook.*", "*"])
    watcher(webhook, "/watcher", "webhook.*")

    disable(webhook, clock.now)
    fan_out(clock.now)

    assert not webhook.deliveries.exists()
    assert [event["data"]["id"] for event in requests_at("/watcher")] == [webhook.public_id]
    webhooks.enable(webhook, now=clock.now)
    assert requests_at("/self") == []


def test_webhooks_of_other_organizations_get_no_event_and_for_none_no_event_is_written(clock, requests_at):
    subscribed("/stranger", events=["webhook.*"])

    disable(subscribed(), clock.now)

    assert requests_at("/stranger") == []
    assert not Event.objects.exists()


def test_an_event_tells_which_webhook_and_why_and_not_where_it_is(clock, requests_at):
    webhook = subscribed("/hook?token=s3cret", name="HR system")
    watcher(webhook, "/watcher", "webhook.*")

    disable(webhook, clock.now)

    (event,) = requests_at("/watcher")
    assert (event["data"], event["details"]) == ({"id": webhook.public_id, "name": "HR system"}, {"reason": "admin"})
    assert event["organization"]["id"] == webhook.organization_id
    assert event["actor"] == {"kind": "system", "id": None}
    assert "s3cret" not in json.dumps(event)
    catalogue.get("webhook.disabled").validate(event)


def test_each_of_them_keeps_its_promised_form(clock, wire, run, requests_at):
    webhook = subscribed(schedule="none", max_in_flight=1)
    watcher(webhook, "/watcher", "webhook.*")
    write(webhook, failures=8, failing_since=clock.now - timedelta(days=10))
    failed = write_event(webhook.organization)
    wire.answers = [500]
    run()
    webhook.refresh_from_db()
    disable(webhook, clock.now, "gone")
    webhooks.enable(webhook, now=clock.now)
    rotate(webhook, now=timezone.now())

    # They may arrive in any order: that's what the number is for.
    events = sorted(requests_at("/watcher"), key=lambda event: event["sequence"])

    assert [event["type"] for event in events] == [
        "webhook.failing",
        "webhook.exhausted",
        "webhook.disabled",
        "webhook.recovered",
        "webhook.secret_rotated",
    ]
    for event in events:
        catalogue.get(event["type"]).validate(event)
        assert event["data"] == {"id": webhook.public_id, "name": webhook.name}
    failing, exhausted = events[0]["details"], events[1]["details"]
    assert (failing["percent"], failing["failures"]) == (50, 9)
    assert failing["first_failed_at"] == (clock.now - timedelta(days=10)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert (exhausted["event_id"], exhausted["event_type"]) == (failed.public_id, "class.cancelled")
    assert exhausted["message"] == "HTTP 500 Internal Server Error"
    assert [event["sequence"] for event in events] == [1, 2, 3, 4, 5]


def test_two_broken_webhooks_do_not_tell_of_each_other_for_ever(settings_of_app, wire, run, clock):
    settings_of_app(DISABLE_AFTER_FAILURES=1_000)
    first = subscribed("/first", schedule="none", events=["*", "webhook.*"])
    watcher(first, "/second", "*", "webhook.*", schedule="none")
    write_event(first.organization)
    wire.otherwise = 500
    for _ in range(40):
        run()
        clock.advance(minutes=150)

    assert not Delivery.objects.open().exists()
    # Each gets the event that the other gave the class's event up; the failure of that one emits no event.
    types = list(Event.objects.order_by("pk").values_list("type", flat=True))
    assert types == ["class.cancelled", "webhook.exhausted", "webhook.exhausted"]
    assert distinct(Delivery, "status") == {"exhausted"}


def test_the_event_is_rolled_back_with_what_it_tells_of(clock):
    webhook = subscribed()
    watcher(webhook, "/watcher", "webhook.*")
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        disable(webhook, clock.now)
        raise ZeroDivisionError

    assert not Event.objects.exists()
    assert Webhook.objects.get(pk=webhook.pk).enabled


def test_without_the_receivers_nothing_is_recorded_and_the_signals_are_sent_all_the_same(clock, heard, monkeypatch):
    webhook = subscribed()
    watcher(webhook, "/watcher", "webhook.*")
    for signal in WEBHOOK_EVENTS:
        monkeypatch.setattr(signal, "app_receiver", None)

    disable(webhook, clock.now)

    assert not Event.objects.exists()
    assert [name for name, _ in heard] == ["disabled"]


# What receivers of the signals do wrong


def _broken_query(sender, **facts):
    with connection.cursor() as cursor:
        cursor.execute("SELECT nothing FROM nowhere")


def _swallowed_query(sender, **facts):
    with contextlib.suppress(DatabaseError):
        _broken_query(sender)


def _bug(sender, **facts):
    raise KeyError("a bug")


@pytest.mark.parametrize("receiver", [_broken_query, _swallowed_query, _bug])
def test_a_receiver_that_breaks_does_not_keep_results_from_being_written(wire, run, clock, receiver):
    webhook = subscribed(schedule="none", max_in_flight=1)
    watcher(webhook, "/watcher", "webhook.*")
    write_event(webhook.organization)
    wire.answers = [410]
    for signal in (signals.webhook_disabled, signals.webhook_exhausted):
        signal.connect(receiver, sender=Webhook)
    try:
        run()
    finally:
        for signal in (signals.webhook_disabled, signals.webhook_exhausted):
            signal.disconnect(receiver, sender=Webhook)

    delivery = webhook.deliveries.get()
    assert (delivery.status, delivery.attempts) == ("failed", 1)
    assert delivery.attempt_log.count() == 1
    assert stored(webhook, "disabled_reason") == "gone"
    assert len(wire.to("/hook")) == 1
    types = {event["type"] for event in map(json.loads, (request.body for request in wire.to("/watcher")))}
    assert types == {"webhook.disabled", "webhook.exhausted"}


def test_a_payload_that_cannot_be_built_does_not_keep_results_from_being_written(wire, run, monkeypatch, caplog):
    def broken(*args, **kwargs):
        raise ValueError("no such field")

    webhook = subscribed(max_in_flight=1)
    watcher(webhook, "/watcher", "webhook.*")
    write_event(webhook.organization)
    monkeypatch.setattr(import_module("tms_webhooks.outbox.emit"), "emit", broken)
    wire.answers = [410]

    run()

    assert not Webhook.objects.get(pk=webhook.pk).enabled
    assert "no such field" in caplog.text
