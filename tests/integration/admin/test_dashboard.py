"""The dashboard: how an organization's webhooks do right now, and nothing of anybody else's."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from example_project.training.factories import OrganizationFactory, UserFactory
from tests.integration.admin.pages import shown_at, url
from tests.integration.delivery.rows import subscribed, write_delivery, write_event
from tests.patience import PATIENCE
from tms_webhooks.admin import overview
from tms_webhooks.choices import AttemptResult
from tms_webhooks.models import DeliveryTotal, Event, Webhook
from tms_webhooks.models.total import CountedAttempt

PAGE, PART = "admin:tms_webhooks_dashboard", "admin:tms_webhooks_dashboard_part"


def shown(client: Client, **query: object) -> str:
    return shown_at(client, reverse(PAGE), query)


@pytest.fixture
def ours() -> Webhook:
    return subscribed(name="ours", organization=OrganizationFactory(name="Our Place"))


@pytest.fixture
def theirs() -> Webhook:
    return subscribed(
        name="theirs",
        organization=OrganizationFactory(name="Their Place"),
        failures=7,
        pauses=1,
        failing_since=timezone.now(),
    )


@pytest.fixture
def alice(ours: Webhook) -> Client:
    """Staff of our organization, with every permission."""
    user = UserFactory(username="alice", organization=ours.organization, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__app_label="tms_webhooks"))
    client = Client()
    client.force_login(user)
    return client


def test_it_shows_the_queue_and_its_age(alice, ours):
    now = timezone.now()
    write_delivery(ours, now=now - timedelta(hours=3))
    write_delivery(ours, now=now, due_at=now + timedelta(hours=1))

    text = shown(alice)

    assert "Queued 2 0 in flight" in text
    assert "Longest overdue 3 h" in text


def test_it_shows_the_lag_of_first_attempts_of_our_own_webhooks(alice, ours, theirs):
    now = timezone.now()
    for webhook, lag in ((ours, 100), (theirs, 60_000)):
        DeliveryTotal.objects.add([CountedAttempt(webhook.pk, now, AttemptResult.DELIVERED, 5, lag)] * 2)

    text = shown(alice)

    assert "50 % within 65 ms from the event to the first attempt, in this hour and the last" in text
    assert "95 % within 96 ms the same, for 2 deliveries" in text


def test_it_shows_the_webhooks_that_need_attention_with_the_reason(alice, ours):
    organization = ours.organization
    subscribed(name="ill", organization=organization, failures=4, pauses=1, failing_since=timezone.now())
    subscribed(name="gone", organization=organization, enabled=False, disabled_reason="gone")
    subscribed(name="off", organization=organization, enabled=False, disabled_reason="admin")

    text = shown(alice)

    assert "2 webhooks need attention" in text
    assert "ill Failing 4 attempts in a row have failed" in text
    assert "gone Disabled The receiver answered 410 Gone" in text
    assert " off " not in text
    assert " ours " not in text


def test_it_counts_events_of_the_last_day_by_type(alice, ours, monkeypatch):
    now = timezone.now()
    Event.objects.all().delete()  # of the fixtures
    for event_type, age in (
        ("user.updated", 1),
        ("class.cancelled", 2),
        ("class.cancelled", 3),
        ("class.completed", 25),
    ):
        event = write_event(ours.organization, event_type)
        Event.objects.filter(pk=event.pk).update(occurred_at=now - timedelta(hours=age))

    assert "class.cancelled 2 user.updated 1" in shown(alice)
    assert "class.completed" not in shown(alice)
    monkeypatch.setattr(overview, "MAX_EVENTS", 2)
    assert "user.updated 1 class.cancelled 1 Counted over the newest 2 events." in shown(alice)


def test_it_holds_nothing_of_another_organization(alice, ours, theirs, operator):
    write_delivery(theirs, now=timezone.now())
    Event.objects.filter(organization=theirs.organization).update(occurred_at=timezone.now(), type="user.updated")

    for query in ({}, {"organization": theirs.organization_id}, {"organization": "x' OR 1=1"}):
        for page in (PAGE, PART):
            text = shown_at(alice, reverse(page), query)
            assert "Queued 0" in text
            assert "theirs" not in text
            assert "Their Place" not in text
            assert "user.updated" not in text
    assert "theirs" in shown(operator)
    assert "user.updated" in shown(operator)


def test_one_of_several_organizations_can_be_chosen(operator, ours, theirs):
    write_delivery(ours, now=timezone.now())

    assert "Queued 1" in shown(operator)
    text = shown(operator, organization=theirs.organization_id)
    assert "Queued 0" in text
    assert "theirs Failing" in text


def test_it_refreshes_a_part_of_itself(operator, ours):
    page = operator.get(reverse(PAGE), {"organization": ours.organization_id}).content.decode()
    address = f"{reverse(PART)}?organization={ours.organization_id}"

    assert f'data-tms-refresh="{address}" data-tms-every="10"' in page
    part = operator.get(address).content.decode()
    assert f'data-tms-refresh="{address}"' in part
    assert "<html" not in part
    assert "Refresh" in part


def test_it_is_reached_from_the_list_and_from_the_apps_own_page(operator):
    for address in (url(Webhook, "changelist"), reverse("admin:app_list", args=["tms_webhooks"])):
        assert reverse(PAGE) in operator.get(address).content.decode()


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node, which is not installed")
def test_the_scripts_are_ones_that_a_browser_reads():
    for script in (Path(overview.__file__).parents[1] / "static" / "tms_webhooks").glob("*.js"):
        result = subprocess.run(["node", "--check", script], capture_output=True, text=True, timeout=PATIENCE)
        assert (result.returncode, json.dumps(result.stderr)) == (0, '""')


def test_the_lag_of_one_first_attempt_is_in_the_singular(alice, ours):
    DeliveryTotal.objects.add([CountedAttempt(ours.pk, timezone.now(), AttemptResult.DELIVERED, 5, 100)])

    assert "the same, for 1 delivery" in shown(alice)
