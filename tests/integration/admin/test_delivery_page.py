"""The page of a delivery: its status, its attempts with the next step, and its request."""

import html
import re
from datetime import timedelta

import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone

from tests import sweeps
from tests.integration.admin.pages import shown_at, text_of, url
from tests.integration.delivery.rows import subscribed, write_delivery
from tms_webhooks.choices import Action, DelayReason
from tms_webhooks.manage import webhooks
from tms_webhooks.models import Delivery, DeliveryAttempt, Event


def page(delivery):
    return url(Delivery, "change", delivery.public_id)


def resend(delivery):
    return reverse("admin:tms_webhooks_delivery_resend", args=[delivery.public_id])


def finished(webhook=None, **values):
    now = timezone.now()
    done = {"status": "exhausted", "due_at": None, "finished_at": now, "attempts": 1, "charged": 1}
    return write_delivery(webhook or subscribed(), now=now, **{**done, **values})


def tried(delivery, **values):
    values = {"number": 1, "duration_ms": 250, "error_class": "http_status", "message": "HTTP 503", **values}
    return DeliveryAttempt.objects.create(delivery=delivery, started_at=timezone.now(), **values)


# Where it stands

LATER = (timezone.now() + timedelta(days=1)).replace(hour=4, minute=5, second=6)
OPEN = {"due_at": LATER, "finished_at": None}
PENDING = {**OPEN, "status": "pending", "due_at": LATER - timedelta(days=1), "attempts": 0, "charged": 0}
UNTIL = r".{1,40}04:05:06\. It is given up after the last retry, on .{1,40} at the latest\."
NO_RETRY_USED = "; this attempt does not use up a retry"
REASONS = [
    (DelayReason.SCHEDULE, 5.2, "5.2 s later, according to the retry schedule of the webhook"),
    (DelayReason.RETRY_AFTER, 300.0, f"5 min later, as the receiver requested with 429 or Retry-After{NO_RETRY_USED}"),
    (DelayReason.TIMEOUT_PENALTY, 60.0, "60 s later, because retries are delayed after a timeout"),
    (DelayReason.PROXY, 33.0, f"33 s later, because the proxy opened no tunnel{NO_RETRY_USED}"),
    (DelayReason.THROTTLE, 0.4, "400 ms later, because of the webhook's rate limit"),
    (DelayReason.BREAKER, 300.0, f"5 min later, because an encryption key is missing{NO_RETRY_USED}"),
    (DelayReason.SCHEDULE, 5_400.0, "1.5 h later"),
    (DelayReason.SCHEDULE, 400_000.0, "4.63 days later"),
]


@pytest.mark.parametrize(
    "of_webhook, values, attempts, expected",
    [
        ({}, {"status": "delivered"}, [], "The receiver accepted it on"),
        ({}, {"attempts": 11}, [], "Gave up after all retries It was given up on"),
        ({}, {}, [], "Failed, no retry It failed on"),
        ({}, {"status": "failed"}, [], "a retry would fail too"),
        (
            {},
            {"status": "skipped"},
            [],
            "The webhook was disabled before it was delivered. Send missed events to send it.",
        ),
        ({}, {"status": "cancelled"}, [], "A user cancelled it."),
        # An answer that ended too late is a timeout, whatever its code.
        (
            {},
            {"error_class": "timeout"},
            [{"status_code": 200, "error_class": "timeout", "message": "no end of the answer within 20 s"}],
            "Failed, no retry: Timed out It failed on",
        ),
        # One that was skipped after attempts does not deny them.
        (
            {"enabled": False, "disabled_reason": "admin", "disabled_at": LATER},
            {"status": "skipped", "attempts": 3},
            [{"number": 3}],
            "The webhook was disabled before it was delivered. Enable the webhook, then send missed events. Attempt 3 failed",
        ),
        (
            {},
            {**OPEN, "status": "waiting"},
            [],
            f"It was not accepted yet, and is retried. The next attempt is on {UNTIL}",
        ),
        ({"paused_until": LATER}, PENDING, [], f"The next attempt is on {UNTIL}"),
        ({"paused_until": LATER}, PENDING, [], "The webhook is paused: until"),
        ({"held_until": LATER}, PENDING, [], "The webhook is held until"),
        ({"ordered": True}, {**PENDING, "order_key": 1}, [], "It waits for earlier events of the same object."),
        ({}, {}, [{}], "This was the last attempt."),
        ({}, {}, [{}, {"number": None}], "Late attempt .* another worker had claimed the delivery"),
        (
            {},
            {"error_class": "http_status", "attempts": 2},
            [{"status_code": 503}, {"number": 2, "status_code": 404, "message": "HTTP 404 Not Found"}],
            r"Gave up after all retries: HTTP 404 It was given up on .*Attempt 2 failed on .*, \d\d:\d\d:\d\d: HTTP 404 Not Found\. ",
        ),
        ({}, {}, [{"timing": "/3//1100/2"}], "connection 3 ms, response 1.1 s, download 2 ms"),
        *(
            ({}, {}, [{"next_delay": delay, "delay_reason": reason}], f"The next attempt was due {words}")
            for reason, delay, words in REASONS
        ),
    ],
)
def test_the_page_says_where_the_delivery_stands_and_what_follows(operator, of_webhook, values, attempts, expected):
    delivery = finished(subscribed(**of_webhook), **values)
    for attempt in attempts:
        tried(delivery, **attempt)

    assert re.search(expected, shown_at(operator, page(delivery)))


def test_a_next_attempt_that_is_still_ahead_is_due_and_was_not(operator):
    now = timezone.now()
    values = {"status": "waiting", "attempts": 1, "charged": 1}
    ahead = write_delivery(subscribed(), now=now, due_at=now + timedelta(minutes=4), **values)
    past = write_delivery(subscribed(), now=now, due_at=now, **values)
    for delivery, started_at in ((ahead, now), (past, now - timedelta(minutes=5))):
        attempt = tried(delivery, next_delay=240.0, delay_reason=DelayReason.SCHEDULE)
        DeliveryAttempt.objects.filter(pk=attempt.pk).update(started_at=started_at)

    assert "The next attempt is due 4 min later, according to" in shown_at(operator, page(ahead))
    assert "The next attempt was due 4 min later, according to" in shown_at(operator, page(past))


# Request body


def test_the_body_is_shown_with_its_lines_broken_and_to_the_byte(operator):
    delivery = finished()
    Event.objects.filter(pk=delivery.event_id).update(body='{"a":1,"name":"Zoë <b>"}')

    markup = html.unescape(operator.get(page(delivery)).content.decode())

    assert '{\n  "a": 1,\n  "name": "Zoë <b>"\n}' in markup
    assert '{"a":1,"name":"Zoë <b>"}' in markup
    assert "Zoë <b>" not in operator.get(page(delivery)).content.decode()


def test_a_request_that_can_not_be_shown_gives_the_reason(operator):
    pruned, broken = finished(), finished(subscribed(headers="X-Key=1"))
    Event.objects.filter(pk=pruned.event_id).update(body="")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tms_webhooks_webhook SET headers = 'rubbish' WHERE id = %s", [broken.webhook_id])

    assert "The request can't be shown: the payload is no longer kept." in shown_at(operator, page(pruned))
    assert "the headers can't be read; enter them again" in shown_at(operator, page(broken))


def test_payloads_and_responses_need_the_permission_of_the_policy(operator, deny):
    webhook = subscribed("/hook/{data.name}")
    delivery = finished(webhook)
    tried(delivery, response_body="inner network", response_headers="server: inner proxy")
    Event.objects.filter(pk=delivery.event_id).update(subject_name="Anna Larsen")
    everything = ("inner network", "inner proxy", "Anna Larsen", "Zoë", "curl")
    assert all(word in shown_at(operator, page(delivery)) for word in everything)
    deny(Action.VIEW_PAYLOAD)

    text = shown_at(operator, page(delivery))

    assert [word for word in everything if word in text] == []
    assert "are shown to users with the permission to view payloads" in text


def test_the_page_refreshes_itself_while_the_delivery_is_open_and_offers_to_try_it_now(operator):
    waiting = write_delivery(subscribed(), now=timezone.now())

    markup = operator.get(page(waiting)).content.decode()
    assert f'data-tms-refresh="{page(waiting)}"' in markup
    assert f'href="{resend(waiting)}">Try now</a>' in markup
    done = finished()
    markup = operator.get(page(done)).content.decode()
    assert "data-tms-refresh" not in markup
    assert f'href="{resend(done)}">Resend</a>' in markup


# Sending it again


def test_a_delivery_is_resent_after_confirmation(operator):
    delivery = finished()

    assert "1 delivery is sent immediately, with the same event id" in shown_at(operator, resend(delivery))
    assert not Delivery.objects.filter(status="pending").exists()
    response = operator.post(resend(delivery), follow=True)

    delivery.refresh_from_db()
    assert (delivery.status, delivery.priority) == ("pending", 0)
    assert "1 delivery is sent now." in text_of(response)


def test_a_delivery_of_a_deleted_webhook_offers_nothing_and_says_who_cancelled_it(operator, clock):
    webhook = subscribed()
    waiting = write_delivery(webhook, now=clock.now, status="waiting", attempts=1)
    cancelled = write_delivery(webhook, now=clock.now)
    Delivery.objects.filter(pk=cancelled.pk).update(status="cancelled", due_at=None, finished_at=clock.now)
    clock.advance(seconds=1)
    webhooks.delete(webhook, now=clock.now)

    shown = operator.get(page(waiting))
    assert "Its webhook was deleted. It will be cancelled." in text_of(shown)
    assert "is retried" not in text_of(shown)
    assert resend(waiting) not in shown.content.decode()
    sweeps.settle(clock.now)

    shown = operator.get(page(waiting))
    assert "It was cancelled because its webhook was deleted." in text_of(shown)
    assert resend(waiting) not in shown.content.decode()
    assert "A user cancelled it." in shown_at(operator, page(cancelled))
