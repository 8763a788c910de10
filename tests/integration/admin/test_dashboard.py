"""The dashboard: how an organization's webhooks do right now, and nothing of anybody else's."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from example_project.training.factories import OrganizationFactory
from tests.integration.admin.pages import shown_at, url
from tests.integration.delivery.rows import set_aside, subscribed, write_delivery, write_event
from tms_webhooks.choices import AttemptResult
from tms_webhooks.models import DeliveryTotal, Event, Webhook
from tms_webhooks.models.total import CountedAttempt

PAGE = "admin:tms_webhooks_dashboard"


def shown(client):
    return shown_at(client, reverse(PAGE))


@pytest.fixture
def ours(alice):
    return subscribed(name="fine", organization=alice.organization)


@pytest.fixture
def theirs():
    return subscribed(
        name="theirs",
        organization=OrganizationFactory(name="Their Place"),
        failures=7,
        pauses=1,
        failing_since=timezone.now(),
    )


def test_it_shows_the_queue_and_its_age(alice, ours):
    now = timezone.now()
    write_delivery(ours, now=now - timedelta(hours=3))
    write_delivery(ours, now=now, due_at=now + timedelta(hours=1))

    text = shown(alice)

    assert "Queued 2 0 with a worker" in text
    assert "Longest overdue 3 h" in text


def test_it_leads_to_the_events_that_are_set_aside(alice, ours, theirs):
    now = timezone.now()
    assert "Set aside" not in shown(alice)
    event = set_aside(ours.organization, now=now - timedelta(hours=3))
    set_aside(theirs.organization, now=now - timedelta(hours=5))
    write_event(ours.organization)

    assert "Set aside 1 events whose fan-out failed, the oldest 3 h ago" in shown(alice)
    link = f"{url(Event, 'changelist')}?fan_out=failed"
    assert f'href="{link}"' in alice.get(reverse(PAGE)).content.decode()
    assert list(alice.get(link).context["cl"].result_list) == [event]


def test_it_shows_the_lag_of_first_attempts_of_our_own_webhooks(alice, ours, theirs):
    now = timezone.now()
    for webhook, lag in ((ours, 100), (theirs, 60_000)):
        DeliveryTotal.objects.addition([CountedAttempt(webhook.pk, now, AttemptResult.DELIVERED, 5, lag)] * 2)()

    text = shown(alice)

    assert "50 % within 65 ms from the event to the first attempt, in this hour and the last" in text
    assert "95 % within 96 ms the same, for 2 deliveries" in text


def test_it_shows_the_webhooks_that_need_attention_with_the_reason(alice, ours):
    organization = ours.organization
    subscribed(name="ill", organization=organization, failures=4, pauses=1, failing_since=timezone.now())
    subscribed(name="gone", organization=organization, enabled=False, disabled_reason="gone", hook_of="0:api:1")
    subscribed(name="off", organization=organization, enabled=False, disabled_reason="admin")

    text = shown(alice)

    assert "2 webhooks need attention" in text
    assert "ill Failing 4 attempts in a row have failed" in text
    assert "gone Hook Disabled The receiver answered 410 Gone" in text
    assert " off " not in text
    assert " fine " not in text


def test_it_holds_nothing_of_another_organization_and_refreshes_itself(alice, ours, theirs, operator):
    write_delivery(theirs, now=timezone.now())

    text = shown(alice)

    assert "Queued 0" in text
    assert "theirs" not in text
    assert "Their Place" not in text
    assert "Queued 1" in shown(operator)
    assert "theirs Failing" in shown(operator)
    assert f'data-tms-refresh="{reverse(PAGE)}" data-tms-every="10"' in alice.get(reverse(PAGE)).content.decode()


def test_it_is_reached_from_the_list_and_from_the_apps_own_page(operator):
    for address in (url(Webhook, "changelist"), reverse("admin:app_list", args=["tms_webhooks"])):
        assert reverse(PAGE) in operator.get(address).content.decode()
