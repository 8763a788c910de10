"""The receiver of a host's tests: it verifies requests, fails on purpose, and refuses webhooks that can't work."""

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.utils import timezone

from example_project.training.factories import OrganizationFactory, TrainingClassFactory
from tms_webhooks.conf import app_settings
from tms_webhooks.listener import ScriptedResponse
from tms_webhooks.manage.secrets import rotate
from tms_webhooks.models import Delivery, Webhook
from tms_webhooks.testing import WebhookReceiver, deliver_now


@pytest.fixture
def organization():
    return OrganizationFactory()


@pytest.fixture
def webhook(webhook_receiver, organization):
    return webhook_receiver.subscribe(organization, "class.*")


def test_a_receiver_gets_verified_events(webhook_receiver, deliver_webhooks):
    organization = OrganizationFactory()
    training_class = TrainingClassFactory(organization=organization)
    webhook_receiver.subscribe(organization, "class.*", name="CRM")

    training_class.cancel()
    assert deliver_webhooks().delivered == 1

    (request,) = webhook_receiver.requests
    assert request.verified
    assert [event["type"] for event in webhook_receiver.events] == ["class.cancelled"]


def test_a_receiver_accepts_a_rotated_secret(webhook_receiver, deliver_webhooks):
    organization = OrganizationFactory()
    webhook = webhook_receiver.subscribe(organization, "*")
    webhook_receiver.answer = lambda request: ScriptedResponse(204 if request.verified else 401)
    rotate(webhook, now=timezone.now())
    webhook_receiver.trust(webhook)
    TrainingClassFactory(organization=organization)
    assert deliver_webhooks().delivered > 0


def test_what_does_not_verify_is_refused(webhook_receiver, deliver_webhooks):
    organization = OrganizationFactory()
    webhook = webhook_receiver.subscribe(organization, "*")
    webhook.secrets.update(value="whsec_" + "A" * 43 + "=")
    TrainingClassFactory(organization=organization)

    assert deliver_webhooks().delivered == 0
    assert webhook_receiver.events == []


def test_the_settings_are_as_before_when_the_receiver_is_gone(request):
    before = tuple(app_settings.ALLOWED_PORTS)
    receiver = request.getfixturevalue("webhook_receiver")
    assert tuple(app_settings.ALLOWED_PORTS) != before
    assert receiver.url.endswith("/")


# Failing on purpose


@pytest.mark.parametrize("transport", ["threads", "curl"])
@pytest.mark.parametrize(
    "answer, error_class",
    [(ScriptedResponse(500), "http_status"), (ScriptedResponse(drop=True), "connection_reset")],
)
def test_it_answers_as_it_is_told(
    webhook, webhook_receiver, organization, settings_of_app, transport, answer, error_class
):
    settings_of_app(TRANSPORT=transport)
    webhook_receiver.answer = answer
    TrainingClassFactory(organization=organization)

    assert deliver_now().delivered == 0

    delivery = Delivery.objects.get()
    assert (delivery.status, delivery.error_class, delivery.attempts) == ("waiting", error_class, 1)
    assert (len(webhook_receiver.requests), webhook_receiver.accepted) == (1, [])


def test_it_fails_until_it_succeeds(webhook, webhook_receiver, organization):
    webhook_receiver.fail(500)
    TrainingClassFactory(organization=organization)
    assert deliver_now().delivered == 0

    webhook_receiver.succeed()

    assert deliver_now().sent == 0
    assert deliver_now(now=Delivery.objects.get().due_at).delivered == 1
    assert webhook_receiver.accepted == webhook_receiver.requests[-1:]


def test_failures_for_some_requests_follow_each_other(webhook, webhook_receiver, organization):
    webhook_receiver.fail(500, times=2)
    webhook_receiver.fail(404, times=1)
    TrainingClassFactory(organization=organization)
    sent = timezone.now()

    # The retries of the standard schedule: after 5 s, 1 min, 5 min. They have no random part.
    tallies = [deliver_now(now=sent + timedelta(seconds=seconds)).delivered for seconds in (0, 6, 70, 400)]

    assert tallies == [0, 0, 0, 1]
    assert [(attempt.status_code, attempt.error_class) for attempt in attempts(webhook)] == [
        (500, "http_status"),
        (500, "http_status"),
        (404, "http_status"),
        (204, ""),
    ]


def attempts(webhook):
    return webhook.deliveries.get().attempt_log.order_by("number")


def test_outside_its_block_it_has_no_url():
    with pytest.raises(RuntimeError, match="only inside its with block"):
        WebhookReceiver().url  # noqa: B018


def test_a_time_without_a_zone_is_refused(webhook):
    naive = timezone.now().replace(tzinfo=None)

    with pytest.raises(
        ValueError, match=r"^now is datetime.*, without a time zone; pass one with it, such as timezone\.now"
    ):
        deliver_now(now=naive)


# Webhooks that can't work


def test_an_unknown_event_type_is_refused_with_the_nearest_one(webhook_receiver, organization):
    with pytest.raises(ValidationError, match="class.canceled.*class.cancelled"):
        webhook_receiver.subscribe(organization, "class.canceled")

    assert not Webhook.objects.exists()
