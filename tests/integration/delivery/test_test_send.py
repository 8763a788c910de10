"""A test goes to its webhook at once, by the way of all others, and to nobody else."""

import json
import threading
from datetime import timedelta

import pytest

from example_project.training.factories import OrganizationFactory
from tests.factories import WebhookFactory
from tests.integration.delivery.rows import stored, write, write_event
from tests.patience import PATIENCE
from tests.receiver import Answer
from tests.threads import at_once, several
from tms_webhooks.actors import SYSTEM
from tms_webhooks.catalogue import registry
from tms_webhooks.choices import DISABLED_BY_USER, DisabledReason, JobKind, Priority
from tms_webhooks.delivery import lifecycle
from tms_webhooks.exceptions import UnknownEventType
from tms_webhooks.manage import tests as test_send
from tms_webhooks.manage.deliveries import resend
from tms_webhooks.manage.jobs import count as count_job
from tms_webhooks.manage.tests import send_test
from tms_webhooks.models import Delivery, Event, Webhook, WebhookState
from tms_webhooks.outbox import feed


@pytest.fixture
def webhook(receiver):
    return WebhookFactory(url=receiver.url, name="CRM")


@pytest.fixture
def test(clock):
    return lambda webhook, **values: send_test(webhook, actor=SYSTEM, clock=clock, **values)


def test_a_test_is_received_signed_and_in_the_log_like_any_other_delivery(receiver, webhook, test, clock):
    receiver.answers.append(Answer(status=200, body=b"thanks"))

    sent = test(webhook)

    (request,) = receiver.received
    (secret,) = webhook.signing_secrets(clock())
    request.verify(secret)
    assert request.event["type"] == "webhook.test"
    assert request.event["data"] == {"id": webhook.public_id, "name": "CRM"}
    assert request.event["details"] == {"message": "This is a test: nothing happened."}
    assert dict(sent.signed) == {name: request.headers[name] for name in sent.signed}
    assert list(sent.signed) == ["webhook-id", "webhook-timestamp", "webhook-signature"]
    assert sent.body == request.body
    assert sent.signed["webhook-signature"] not in repr(sent)
    delivery = Delivery.objects.get()
    assert sent.delivery == delivery
    assert (delivery.status, delivery.priority, delivery.attempts) == ("delivered", Priority.MANUAL, 1)
    attempt = delivery.attempt_log.get()
    assert (attempt.status_code, attempt.response_body) == (200, "thanks")
    assert (delivery.event.type, delivery.event.occurred_at) == ("webhook.test", clock())


@pytest.mark.parametrize("name", ["class.cancelled", "enrollment.enrolled"])
def test_the_sample_of_any_event_can_be_sent(receiver, webhook, test, name):
    test(webhook, event_type=name)

    event = receiver.received[0].event
    assert event["type"] == name
    assert event["data"] == registry.get(name).example()["data"]
    assert event["id"] == receiver.received[0].headers["webhook-id"] == Event.objects.get().public_id


def test_without_a_choice_it_is_the_first_event_that_the_webhook_subscribes_to_in_its_content(receiver, test):
    webhook = WebhookFactory(
        url=receiver.url, format="custom", content="{type} of {data.name}", events=["class.cancelled", "user.*"]
    )

    test(webhook)

    assert receiver.received[0].body == b'"class.cancelled" of "Azure Administrator, December"'
    assert Event.objects.get().type == "webhook.test"


def test_an_event_that_there_is_not_is_refused(webhook, test):
    with pytest.raises(UnknownEventType, match=r"class\.cancelled"):
        test(webhook, event_type="class.canceled")


@pytest.mark.parametrize(
    "values, mark",
    [
        ({}, {"version": 1, "test": True}),
        ({"payload": "thin"}, {"version": 1, "test": True}),
        ({"format": "skillable"}, {"EventType": "class.cancelled", "EventTest": True}),
        ({"format": "cloudevents"}, {"type": "class.cancelled", "test": True}),
        ({"format": "cloudevents_binary"}, {"version": 1, "test": True}),
        ({"format": "custom", "content": '{"t": {test}, "u": {EventTest}}'}, {"t": True, "u": True}),
    ],
)
def test_a_test_is_marked_in_each_format_and_no_other_event_is(receiver, drain, test, values, mark):
    webhook = WebhookFactory(url=receiver.url, events=["class.cancelled"], **values)
    write_event(webhook.organization)

    test(webhook, event_type="class.cancelled")
    drain()

    marked, real = receiver.received
    body = json.loads(marked.body)
    assert {name: body[name] for name in mark} == mark
    assert marked.headers["tms-test"] == "true"
    assert "tms-test" not in real.headers
    unmarked = json.loads(real.body)
    assert not any(unmarked.get(name) for name, value in mark.items() if value is True)


def test_a_test_is_of_the_webhooks_own_organization_whatever_type_it_imitates(receiver, test):
    organization = OrganizationFactory(external_id="OWN-7")
    webhook = WebhookFactory(url=receiver.url, organization=organization)

    test(webhook, event_type="class.cancelled")

    event = receiver.received[0].event
    assert event["organization"] == {"id": organization.pk, "external_id": "OWN-7"}
    assert list(event)[:6] == ["id", "type", "timestamp", "version", "test", "organization"]
    assert event["test"] is True


def test_a_test_that_is_resent_is_marked_again(receiver, webhook, test, drain, clock):
    resend(test(webhook).delivery, now=clock.advance(minutes=1))

    drain()

    assert [request.headers["tms-test"] for request in receiver.received] == ["true", "true"]


def test_a_failure_is_reported_and_not_tried_again(receiver, webhook, test, drain, clock):
    receiver.answers.append(Answer(status=500, body=b"broken"))

    sent = test(webhook)

    assert (sent.result.status, sent.result.outcome.error_class) == (500, "http_status")
    assert sent.delivery.status == "exhausted"
    clock.advance(days=1)
    drain()
    assert len(receiver.received) == 1
    assert stored(webhook, "state__failures", "enabled") == (0, True)


def test_an_address_that_must_not_be_called_is_not_called(receiver, webhook, test, settings_of_app):
    settings_of_app(UNCHECKED_HOSTS=[])

    sent = test(webhook)

    assert sent.result.outcome.error_class == "blocked_address"
    assert receiver.received == []


def test_it_takes_no_longer_than_the_webhooks_timeout(receiver, webhook, test):
    webhook.timeout_seconds = 1
    receiver.answers.append(Answer(delay=2 * PATIENCE))

    sent = test(webhook)

    assert sent.result.outcome.error_class == "timeout"
    assert 0.99 <= sent.result.seconds < PATIENCE
    assert sent.result.timing.wait >= 0.2


@pytest.mark.parametrize(
    "reason, status, heals",
    [
        *((reason, 200, reason not in DISABLED_BY_USER) for reason in DisabledReason),
        (DisabledReason.FAILING, 500, False),
    ],
)
def test_a_good_test_enables_what_was_disabled_by_failures_and_not_by_a_person(
    receiver, webhook, test, clock, reason, status, heals
):
    lifecycle.disable(webhook, reason=reason, now=clock())
    receiver.answers.append(Answer(status=status))

    assert test(webhook).healed is heals

    assert stored(webhook, "enabled", "disabled_reason") == ((True, "") if heals else (False, reason))
    assert len(receiver.received) == 1


def test_a_good_test_ends_a_pause(webhook, test, clock):
    WebhookState.objects.update(pauses=2, failures=3, failing_since=clock(), paused_until=clock() + timedelta(hours=1))
    webhook.refresh_from_db()

    assert test(webhook).healed

    assert stored(webhook, "state__pauses", "state__failures", "state__paused_until") == (0, 0, None)


def test_no_other_webhook_gets_it_now_or_by_a_replay_or_the_feed(receiver, webhook, test, drain, clock):
    other = WebhookFactory(url=receiver.url, organization=webhook.organization, events=["*", "webhook.*"])
    receiver.answers.append(Answer(status=500))
    write(other, created_at=clock() - timedelta(days=1))
    other.refresh_from_db()
    test(webhook)

    drain()

    assert Delivery.objects.count() == 1
    until = clock.advance(hours=1)
    assert count_job(JobKind.REPLAY_MISSED, other, now=until) == 0
    assert count_job(JobKind.RECOVER, webhook, now=until, since=until - timedelta(days=1)) == 0
    own = type(webhook.organization).objects.filter(pk=webhook.organization_id)
    assert feed.read(own, now=until).events == []


@several
@pytest.mark.django_db(transaction=True)
def test_a_person_who_disables_it_just_then_has_the_last_word(webhook, test, clock, monkeypatch):
    WebhookState.objects.update(pauses=2, failures=3, failing_since=clock(), paused_until=clock() + timedelta(hours=1))
    looked, done, refresh = threading.Event(), threading.Event(), Webhook.refresh_from_db

    def look(self, *args, **kwargs):
        refresh(self, *args, **kwargs)
        looked.set()
        done.wait(0.5)  # Time enough for the other, unless it has to wait for us.

    def disable_it():
        assert looked.wait(PATIENCE)
        lifecycle.disable(Webhook.objects.get(), reason=DisabledReason.ADMIN, now=clock())
        done.set()

    monkeypatch.setattr(Webhook, "refresh_from_db", look)
    errors = at_once(lambda: test(webhook), disable_it)
    monkeypatch.undo()

    assert errors == []
    assert stored(webhook, "enabled", "disabled_reason") == (False, "admin")


def test_a_worker_leaves_it_alone_while_it_is_under_way(webhook, test, clock, monkeypatch):
    due = []
    real = test_send.send

    def look(request, **values):
        due.append(Delivery.objects.due(clock() + timedelta(seconds=webhook.timeout_seconds)).count())
        return real(request, **values)

    monkeypatch.setattr(test_send, "send", look)

    test(webhook)

    assert due == [0]
